"""The folder that Dagster is pointed at: inside the home, with the project's dagster.yaml as it is now."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from millpond.errors import ConfigError
from millpond.runtime.home import layout
from millpond.settings import Settings

CODE_LOCATION = "millpond.definitions"
"""Module that holds the definitions; Dagster's own commands find it in DAGSTER_MODULE_NAME."""

_CONFIG = "dagster.yaml"


def dagster_home(settings: Settings) -> Path:
    """Return the folder to use as DAGSTER_HOME, holding the project's dagster.yaml as it is now.

    Raises ConfigError if the project has no dagster.yaml.
    """
    home = layout(settings).dagster
    source = settings.project / _CONFIG
    if not source.exists():
        raise ConfigError(
            f"there is no {_CONFIG} in {settings.project}",
            next_step="run in the project's folder, or set MILLPOND_PROJECT to it",
        )
    wanted, target = source.read_bytes(), home / _CONFIG
    if not target.exists() or target.read_bytes() != wanted:
        unfinished = home / f".{_CONFIG}.{os.getpid()}.{threading.get_ident()}"
        unfinished.write_bytes(wanted)
        unfinished.replace(target)
    return home
