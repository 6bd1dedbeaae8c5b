"""The code location: the platform's definitions, and beside them what the project's own module defines.

Importing this opens no socket and starts nothing.
"""

from millpond.internals.dagster import leave_out_unfit_assets
from millpond.own_definitions import load_own
from millpond.platform import build_definitions
from millpond.resources.run import MAINTENANCE, OWN_PARTITIONS
from millpond.settings import settings

leave_out_unfit_assets(OWN_PARTITIONS, MAINTENANCE)
defs = build_definitions(load_own(settings()))
