"""Runs in containers, each configured like the container that starts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millpond.errors import ConfigError
from millpond.internals.dagster import RunLauncher

_SOCKET = "docker.sock"
_PASSED_ON = ("MILLPOND_", "DAGSTER_HOME=")
"""Environment variables that a run gets; the others come from the image."""


def container_launcher() -> RunLauncher:
    """Return the launcher; raises ConfigError if Docker is unreachable or does not know this container."""
    try:
        from millpond.instance.container_launcher import ContainerLauncher, our_container
    except ImportError as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but the package for it is not installed: {error}",
            next_step='pip install "millpond[docker]", or use our container image',
        ) from error
    launcher: RunLauncher = ContainerLauncher(**copy_container_config(our_container()))
    return launcher


def copy_container_config(container: Mapping[str, Any]) -> dict[str, Any]:
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
