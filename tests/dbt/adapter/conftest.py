"""dbt's public adapter test suite on our profile's `embedded`: dbt by hand, on a branch, with our macros."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.tests.fixtures.project import *  # noqa: F403 - the fixtures that the suite stands on
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager

from millpond.settings import settings
from millpond.transform.invocation import get_project_folder


@pytest.fixture(scope="class", autouse=True)
def _every_event() -> None:
    """Have dbt tell its debug events too, also where a build in this process has silenced them."""
    ctx_set_event_manager(EventManager())


@pytest.fixture(scope="class")
def dbt_profile_target() -> dict[str, Any]:
    profiles = yaml.safe_load((get_project_folder(settings()) / "profiles.yml").read_text())
    target: dict[str, Any] = profiles["millpond"]["outputs"]["embedded"]
    return target


@pytest.fixture(scope="class")
def dbt_project_yml(project_root: Any, project_config_update: dict[str, Any] | str) -> dict[str, Any]:
    """The project that a case declares; our macros come to it by themselves."""
    update = project_config_update
    declared: dict[str, Any] = yaml.safe_load(update) if isinstance(update, str) else update or {}
    macros = [*declared.get("macro-paths", ["macros"]), str(Path(__file__).parent / "macros")]
    quiet = {"send_anonymous_usage_stats": False}
    config = {"name": "test", "profile": "test", "flags": quiet, **declared, "macro-paths": macros}
    Path(project_root, "dbt_project.yml").write_text(yaml.safe_dump(config))
    return config


@pytest.fixture(scope="class")
def logs_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("logs"))
    os.environ["DBT_LOG_PATH"] = folder
    yield folder
    del os.environ["DBT_LOG_PATH"]
