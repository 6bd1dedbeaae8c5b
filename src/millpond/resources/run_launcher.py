"""Where Dagster's runs execute: as processes of the code server, or each in a container of its own."""

from __future__ import annotations

from dagster._core.launcher import DefaultRunLauncher, RunLauncher

from millpond.errors import ConfigError
from millpond.settings import settings


def run_launcher() -> RunLauncher:
    """Return the launcher that MILLPOND_RUN_LAUNCHER names; raises ConfigError if it cannot be had here."""
    return _in_containers() if settings().run_launcher == "docker" else DefaultRunLauncher()


def _in_containers() -> RunLauncher:
    try:
        from millpond.resources.container_launcher import container_launcher
    except ImportError as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but the package for it is not installed: {error}",
            next_step='pip install "millpond[docker]", or use our container image',
        ) from error
    return container_launcher()
