"""Logs are bounded, and whoever writes them never notices."""

from __future__ import annotations

import os
from pathlib import Path

from millpond.runtime.supervisor import rotate_logs


def test_a_small_log_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").write_text("x" * 100)
    assert rotate_logs(tmp_path, limit=100) == []
    assert [file.name for file in tmp_path.iterdir()] == ["daemon.log"]


def test_a_writer_goes_on_in_the_emptied_file(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"before\n" * 20)
    assert rotate_logs(tmp_path, limit=100) == [log]
    os.write(writer, b"after\n")
    os.close(writer)
    assert log.read_text() == "after\n"
    assert (tmp_path / "daemon.log.1").read_text() == "before\n" * 20


def test_only_the_latest_files_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    for age in "abcde":
        log.write_text(age * 11)
        rotate_logs(tmp_path, limit=10, keep=3)
    assert {file.name: file.read_text()[:1] for file in tmp_path.iterdir()} == {
        "daemon.log": "",
        "daemon.log.1": "e",
        "daemon.log.2": "d",
        "daemon.log.3": "c",
    }
