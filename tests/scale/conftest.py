"""The real servers of the scale profile: one set for all processes of a test session."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from servers import stack

from millpond.runtime.home import exclusive
from project_folders import in_example

_VARIABLE = "SCALE_SERVERS"
"""Names the folder of the servers: set by hand to keep them from one session to the next."""
_PREFIX = "millpond-scale-"
_HERE = Path(__file__).parent
_owned: list[Path] = []
sys.path.insert(0, str(_HERE.parent / "example"))


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of the servers, for this process and the workers it starts."""
    if _VARIABLE not in os.environ:
        _remove_leftovers()
        folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getpid()}"
        os.environ[_VARIABLE] = str(folder)
        _owned.append(folder)


def pytest_unconfigure() -> None:
    """Stop the servers that this session started; their logs stay for the one who looks into a failure."""
    for folder in _owned:
        stack.stop(folder)
        del os.environ[_VARIABLE]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here, so that only those who ask for it wait for servers."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.scale)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave nothing of a session that passed."""
    for folder in _owned if exitstatus == 0 else []:
        stack.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _in_example() -> Iterator[None]:
    with in_example():
        yield


@pytest.fixture(scope="session")
def servers() -> stack.Stack:
    """Postgres, S3, Trino and Nessie, running; stop one and `restart` it at will, with `-n 0`."""
    return stack.running(Path(os.environ[_VARIABLE]))


def _remove_leftovers() -> None:
    """Stop and remove the servers of sessions that were killed; processes do it one after another."""
    root = Path(tempfile.gettempdir())
    lock = root / f"millpond-scale.{os.geteuid()}.lock"
    with exclusive(lock, doing="removing leftover servers", timeout=600):
        for folder in root.glob(f"{_PREFIX}*"):
            pid = folder.name.removeprefix(_PREFIX)
            if folder.stat().st_uid == os.geteuid() and pid.isdecimal() and not psutil.pid_exists(int(pid)):
                stack.stop(folder)
                shutil.rmtree(folder, ignore_errors=True)
