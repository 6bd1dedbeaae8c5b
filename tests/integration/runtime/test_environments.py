"""Packages that stay out of Millpond's own environment are installed beside it, once, whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from millpond.errors import InstallFailed
from millpond.runtime import environments
from millpond.runtime.environments import Environment

ASK = "import importlib.util as u; print(bool(u.find_spec('millpond')), bool(u.find_spec('duckdb')))"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "_find_parent", lambda: tmp_path / "environments")


def test_an_overlay_sees_millpond_and_an_environment_without_does_not(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("")
    seen = {}
    for overlay in (True, False):
        python = Environment("small", overlay).ensure(lambda _line: None)
        seen[overlay] = subprocess.run([python, "-c", ASK], capture_output=True, text=True).stdout.split()
    assert seen == {True: ["True", "True"], False: ["False", "False"]}


def test_it_is_installed_once_and_anew_when_its_pins_change(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("")
    lines: list[str] = []
    first = Environment("small").ensure(lines.append)
    assert Environment("small").ensure(lines.append) == first
    assert len(lines) == 1, "the second call has nothing to install"
    (tmp_path / "small.txt").write_text("# another pin\n")
    assert Environment("small").find() is None
    second = Environment("small").ensure(lines.append)
    assert second != first
    assert not first.exists(), "what is not required any more is removed"


def test_what_cannot_be_installed_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text(f"nowhere @ file://{tmp_path}/nowhere.whl --hash=sha256:{'0' * 64}\n")
    with pytest.raises(InstallFailed, match=r"nowhere.*\n.*everything else runs") as failure:
        Environment("small").ensure(lambda _line: None)
    assert "small could not be installed" in failure.value.what
    assert Environment("small").find() is None
    assert [each.name for each in (tmp_path / "environments").iterdir()] == ["small.lock"]
