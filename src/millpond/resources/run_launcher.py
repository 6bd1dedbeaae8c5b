"""Where Dagster's runs execute: as processes of the code server, or each in a container of its own."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from dagster._core.launcher import DefaultRunLauncher, RunLauncher

from millpond.errors import ConfigError
from millpond.settings import settings

_SOCKET = "docker.sock"
_PASSED_ON = ("MILLPOND_", "DAGSTER_HOME=")
"""What a run is told of the environment; the image brings the rest."""


def run_launcher() -> RunLauncher:
    """Return the launcher that MILLPOND_RUN_LAUNCHER names; raises ConfigError if it cannot be had here."""
    return _in_containers() if settings().run_launcher == "docker" else DefaultRunLauncher()


def like(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return the launcher's configuration for containers like `container`, as Docker describes it.

    Same image, environment, volumes, secrets, networks, limits and restrictions; not Docker's socket.
    """
    config, host = container["Config"], container["HostConfig"]
    volumes = [
        f"{mount.get('Name') or mount['Source']}:{mount['Destination']}:{'rw' if mount['RW'] else 'ro'}"
        for mount in container["Mounts"]
        if mount["Type"] in {"bind", "volume"} and not mount["Destination"].endswith(_SOCKET)
    ]
    return {
        "image": config["Image"],
        "env_vars": [each for each in config["Env"] if each.startswith(_PASSED_ON)],
        "networks": sorted(container["NetworkSettings"]["Networks"]),
        "container_kwargs": {
            "volumes": volumes,
            "tmpfs": host["Tmpfs"] or {},
            "read_only": host["ReadonlyRootfs"],
            "cap_drop": host["CapDrop"] or [],
            "security_opt": host["SecurityOpt"] or [],
            "mem_limit": host["Memory"],
            "nano_cpus": host["NanoCpus"],
            "init": True,
            "auto_remove": True,
        },
    }


def _in_containers() -> RunLauncher:
    try:
        from dagster_docker import DockerRunLauncher
        from docker.client import from_env
        from docker.errors import DockerException
    except ImportError as error:
        raise ConfigError(
            "MILLPOND_RUN_LAUNCHER is docker, but the package dagster-docker is not installed",
            next_step='pip install "millpond[docker]", or use our container image',
        ) from error
    try:
        ours = from_env().containers.get(socket.gethostname())
    except DockerException as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but Docker does not know this container: {error}",
            unharmed="everything: no run was started",
            next_step="start with docker/compose.runs.yaml, which hands Docker's socket to those who start "
            "runs, or set MILLPOND_RUN_LAUNCHER=process",
        ) from error
    launcher: RunLauncher = DockerRunLauncher(**like(ours.attrs))
    return launcher
