"""Every setting with its default, meaning and origin; only this package reads the environment.

Imports `project` and what is below it. Start reading in `model`, then `reading`.
"""

from millpond.settings.model import Settings
from millpond.settings.reading import origins, read_settings, settings, use_deployed
from millpond.settings.variables import (
    DEPLOYED,
    PREFIX,
    process_environment,
    source_files,
    source_names,
    variable,
)

__all__ = [
    "DEPLOYED",
    "PREFIX",
    "Settings",
    "origins",
    "process_environment",
    "read_settings",
    "settings",
    "source_files",
    "source_names",
    "use_deployed",
    "variable",
]
