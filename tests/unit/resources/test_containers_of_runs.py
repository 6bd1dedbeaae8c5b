"""Where runs execute is a setting; a run in a container gets one like that which starts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millpond.errors import ConfigError
from millpond.instance.containers import container_launcher, copy_container_config
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


def test_a_run_gets_a_container_like_the_one_that_starts_it_but_not_dockers_socket() -> None:
    made = copy_container_config(DAEMON)
    assert (made["image"], made["networks"]) == ("millpond:0.1.0", ["millpond_millpond"])
    assert made["env_vars"] == ["MILLPOND_PROFILE=scale", "DAGSTER_HOME=/app"]
    options = made["container_kwargs"]
    assert options["volumes"] == ["home:/var/lib/millpond:rw", "/s/key:/run/secrets/key:ro"]
    assert (options["mem_limit"], options["read_only"], options["cap_drop"]) == (3 << 30, True, ["ALL"])


def test_containers_for_runs_need_the_profile_scale(configure: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigError, match="MILLPOND_RUN_LAUNCHER=docker goes with MILLPOND_PROFILE=scale"):
        configure(run_launcher="docker")


def test_without_the_package_for_it_the_launcher_says_what_to_install() -> None:
    with pytest.raises(ConfigError) as error:
        container_launcher()
    assert error.value.next_step == 'pip install "millpond[docker]", or use our container image'
