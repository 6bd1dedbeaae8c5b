"""What a home holds is closed to other users, whatever the umask of who made it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millpond.runtime import catalog_server, home
from millpond.settings import Settings


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_folders_locks_and_tokens_are_private(
    configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # as root, Postgres' user has to pass
    made = home.layout(configure(home=tmp_path / "home"))
    token = made.run / "catalog.token"
    assert catalog_server._create_token(token)
    with home.exclusive(made.run / "a.lock", doing="testing"):
        pass
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (made.root, *made.root.rglob("*"))}
    assert len(modes) > 8
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert modes[token] == 0o600
