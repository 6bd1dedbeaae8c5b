"""Every setting with its default, meaning and origin; only this package reads the environment.

Imports `project`, `internals` and what is below them. Start reading in `model`, then `reading`.
"""

from typing import TYPE_CHECKING

from millpond.internals.on_demand import import_on_demand
from millpond.settings.variables import (
    DEPLOYED,
    PREFIX,
    process_environment,
    read_layers,
    source_files,
    source_names,
    variable,
)

if TYPE_CHECKING:
    from millpond.settings.model import Settings
    from millpond.settings.reading import origins, read_settings, settings, use_deployed
else:  # commands that need no settings, such as --help, do not load them
    _READING = {
        name: f"millpond.settings.reading:{name}"
        for name in ("origins", "read_settings", "settings", "use_deployed")
    }
    __getattr__ = import_on_demand(__name__, {"Settings": "millpond.settings.model:Settings", **_READING})

__all__ = [
    "DEPLOYED",
    "PREFIX",
    "Settings",
    "origins",
    "process_environment",
    "read_layers",
    "read_settings",
    "settings",
    "source_files",
    "source_names",
    "use_deployed",
    "variable",
]
