"""The code location: the platform's definitions, and beside them what the project's own module defines.

Importing this opens no socket and starts nothing.
"""

from millpond.internals.dagster import leave_out_external_assets
from millpond.own_definitions import load_own
from millpond.platform import build_definitions
from millpond.settings import settings

leave_out_external_assets()
defs = build_definitions(load_own(settings()))
