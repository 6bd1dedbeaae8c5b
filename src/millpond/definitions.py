"""The code location: the platform's definitions, and beside them what the project's own module defines.

Importing this opens no socket and starts nothing.
"""

from millpond.own_definitions import load_own
from millpond.platform import build_definitions
from millpond.settings import settings

defs = build_definitions(load_own(settings()))
