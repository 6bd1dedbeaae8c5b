"""Where runs execute is a setting; a run in a container gets one like that which starts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dagster._core.launcher import DefaultRunLauncher

from millpond.errors import ConfigError
from millpond.resources.container_likeness import like
from millpond.resources.run_launcher import run_launcher
from millpond.settings import Settings

DAEMON: dict[str, Any] = {
    "Config": {
        "Image": "millpond:0.1.0",
        "Env": ["PATH=/bin", "MILLPOND_PROFILE=scale", "DAGSTER_HOME=/app"],
    },
    "HostConfig": {
        "Tmpfs": {"/tmp": "mode=1777"},
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 3 << 30,
        "NanoCpus": 2_000_000_000,
    },
    "Mounts": [
        {"Type": "volume", "Name": "home", "Source": "/v", "Destination": "/var/lib/millpond", "RW": True},
        {"Type": "bind", "Source": "/s/key", "Destination": "/run/secrets/key", "RW": False},
        {"Type": "bind", "Source": "/run/d.sock", "Destination": "/var/run/docker.sock", "RW": True},
    ],
    "NetworkSettings": {"Networks": {"millpond_millpond": {}}},
}


def test_runs_are_processes_of_the_code_server_by_default(configure: Callable[..., Settings]) -> None:
    configure()
    assert isinstance(run_launcher(), DefaultRunLauncher)


def test_a_run_gets_a_container_like_the_one_that_starts_it_but_not_dockers_socket() -> None:
    made = like(DAEMON)
    assert (made["image"], made["networks"]) == ("millpond:0.1.0", ["millpond_millpond"])
    assert made["env_vars"] == ["MILLPOND_PROFILE=scale", "DAGSTER_HOME=/app"]
    options = made["container_kwargs"]
    assert options["volumes"] == ["home:/var/lib/millpond:rw", "/s/key:/run/secrets/key:ro"]
    assert (options["mem_limit"], options["read_only"], options["cap_drop"]) == (3 << 30, True, ["ALL"])


def test_containers_for_runs_need_the_profile_scale(configure: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigError, match="MILLPOND_RUN_LAUNCHER=docker goes with MILLPOND_PROFILE=scale"):
        configure(run_launcher="docker")
