"""Where Dagster's runs execute: as processes of the code server, or each in a container of its own."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from dagster._core.launcher import DefaultRunLauncher, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from millpond.errors import ConfigError
from millpond.settings import settings

_SOCKET = "docker.sock"
_PASSED_ON = ("MILLPOND_", "DAGSTER_HOME=")
"""What a run is told of the environment; the image brings the rest."""


class HomeRunLauncher(ConfigurableClass):
    """Stands in dagster.yaml for the launcher that the settings name."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what may be configured: nothing."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> RunLauncher:
        """Return the launcher of MILLPOND_RUN_LAUNCHER; raises ConfigError if it cannot be had here."""
        if settings().run_launcher == "docker":
            return _in_containers(inst_data)
        return DefaultRunLauncher(inst_data)


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


def _in_containers(inst_data: ConfigurableClassData | None) -> RunLauncher:
    try:
        import docker
        from dagster_docker import DockerRunLauncher
    except ImportError as error:
        raise ConfigError(
            "MILLPOND_RUN_LAUNCHER is docker, but the package dagster-docker is not installed",
            next_step='pip install "millpond[docker]", or use our container image',
        ) from error
    try:
        ours = docker.from_env().containers.get(socket.gethostname())
    except docker.errors.DockerException as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but Docker does not know this container: {error}",
            unharmed="everything: no run was started",
            next_step="start with docker/compose.runs.yaml, which hands Docker's socket to those who start runs, "
            "or set MILLPOND_RUN_LAUNCHER=process",
        ) from error
    launcher: RunLauncher = DockerRunLauncher(inst_data, **like(ours.attrs))
    return launcher
