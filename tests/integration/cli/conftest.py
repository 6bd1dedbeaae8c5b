"""The command line in this process, as `main` runs it; an empty project and a shop for new sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_source import FakeSource, fake_source
from millpond.project.create import create
from millpond.settings import Settings
from typed_commands import run, run_as_typed  # noqa: F401 - fixtures


@pytest.fixture
def new_project(tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `millpond init` makes it, which is the current folder."""
    folder = create(tmp_path / "pond", "empty")
    configure(project=folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shop() -> Iterator[FakeSource]:
    """A source that answers as a test says."""
    with fake_source() as source:
        yield source
