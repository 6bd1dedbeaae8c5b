"""Background processes of a home: one of each name, found by all, ended by `down`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millpond.errors import EmbeddedPartError
from millpond.runtime import processes
from millpond.runtime.home import Home, exclusive, layout
from millpond.runtime.processes import Process, ensure_process
from millpond.settings import process_environment, settings

ANSWERS_WITH_ITS_PID = """
import os, signal, socket, sys
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--broken" in sys.argv:
    sys.exit("no such flour in the mill")
listener = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
while True:
    connection, _ = listener.accept()
    connection.sendall(f"{os.getpid()} {os.getsid(0)}".encode())
    connection.close()
"""
ENSURE = """
import socket
from millpond.runtime.processes import ensure_process
from millpond.settings import settings
print(ensure_process(settings(), "mill", "mill_server", ready=lambda port: True).pid)
"""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    (tmp_path / "mill_server.py").write_text(ANSWERS_WITH_ITS_PID)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    home = layout(settings())
    processes.stop_all(home, timeout=0.5)  # what other tests left running
    yield home
    processes.stop_all(home, timeout=0.5)
    for record in home.run.glob("mill*"):
        record.unlink()


def ask(port: int) -> list[int]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return [int(part) for part in connection.recv(100).split()]


def mill(*arguments: str) -> Process:
    return ensure_process(settings(), "mill", "mill_server", *arguments, ready=lambda port: bool(ask(port)))


def test_a_started_process_answers_and_is_found_again() -> None:
    first = mill()
    assert ask(first.port)[0] == first.pid
    assert mill() == first


def test_processes_that_need_it_at_once_share_one() -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", ENSURE], stdout=subprocess.PIPE, env=process_environment())
        for _ in range(4)
    ]
    assert len({process.communicate(timeout=60)[0] for process in started}) == 1


def test_it_is_no_child_of_ours_and_in_no_session_of_ours() -> None:
    process = mill()
    assert ask(process.port)[1] != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


def test_one_that_was_killed_is_started_again_on_its_port() -> None:
    first = mill()
    os.kill(first.pid, signal.SIGKILL)
    while first.alive:
        pass
    second = mill()
    assert second.pid != first.pid
    assert second.port == first.port


def test_a_port_taken_meanwhile_is_given_up() -> None:
    first = mill()
    processes.stop_all(layout(settings()))
    with socket.create_server(("127.0.0.1", first.port)):
        assert mill().port != first.port


def test_one_that_cannot_start_shows_its_log() -> None:
    with pytest.raises(EmbeddedPartError, match="no such flour in the mill"):
        mill("--broken")
    assert mill().alive


def test_one_that_never_answers_is_ended(folders: Home) -> None:
    with pytest.raises(EmbeddedPartError, match="mill did not start"):
        ensure_process(settings(), "mill", "mill_server", ready=lambda port: False, timeout=0.3)
    assert processes.list_processes(folders) == []


def test_one_whose_starter_was_killed_before_it_answered_is_taken_over(folders: Home) -> None:
    with pytest.raises(KeyboardInterrupt):
        ensure_process(settings(), "mill", "mill_server", ready=interrupted)
    [orphan] = processes.list_processes(folders)
    assert mill().pid == orphan.pid


def interrupted(port: int) -> bool:
    raise KeyboardInterrupt


def test_stopping_uses_force_where_asking_does_not_help(folders: Home) -> None:
    stubborn = mill("--stubborn")
    assert processes.stop_all(folders, timeout=0.3) == [stubborn]
    assert not stubborn.alive
    assert processes.stop_all(folders) == []


def test_a_pid_that_another_program_got_meanwhile_is_left_alone(folders: Home) -> None:
    process = mill()
    record = folders.run / "mill.process.json"
    somebody = f'"pid": {os.getpid()}'
    record.write_text(record.read_text().replace(f'"pid": {process.pid}', somebody))
    assert processes.stop_all(folders) == []
    os.kill(process.pid, signal.SIGKILL)


def test_a_lock_that_is_held_names_its_holder(folders: Home) -> None:
    lock = folders.run / "mill.lock"
    with (
        exclusive(lock, doing="grinding"),
        pytest.raises(EmbeddedPartError, match=f"process {os.getpid()} grinding"),
        exclusive(lock, doing="baking", timeout=0.1),
    ):
        pass


def test_a_lock_is_free_once_its_holder_was_killed(folders: Home) -> None:
    lock = folders.run / "mill.lock"
    code = f"""
import os, pathlib
from millpond.runtime.home import exclusive
with exclusive(pathlib.Path({str(lock)!r}), doing="grinding"):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    with exclusive(lock, doing="baking", timeout=0):
        pass
