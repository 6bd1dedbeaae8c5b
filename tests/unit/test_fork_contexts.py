"""Runs are forked for as long as what was loaded is what a new process would load."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerProcess, SpawnProcess
from pathlib import Path

import pytest

import millpond
from millpond.runs.warm_server import Contexts, read_what_runs_read


def make_contexts() -> Contexts:
    forks, spawns = map(multiprocessing.get_context, ("forkserver", "spawn"))
    return Contexts(forks, spawns, read_what_runs_read())


def test_runs_start_in_new_processes_once_the_installed_code_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "part").mkdir()
    code = tmp_path / "part" / "code.py"
    code.write_text("VALUE = 1\n")
    monkeypatch.setattr(millpond, "__file__", str(tmp_path / "__init__.py"))
    context = make_contexts()
    assert type(context.Process(target=print)) is ForkServerProcess
    assert capfd.readouterr().err == ""

    code.write_text("VALUE = 100\n")
    assert type(context.Process(target=print)) is SpawnProcess
    assert "`millpond reload` loads it" in capfd.readouterr().err
    other = make_contexts()
    assert type(other.Process(target=print)) is ForkServerProcess
    (tmp_path / "more.py").touch()
    assert type(other.Process(target=print)) is SpawnProcess
