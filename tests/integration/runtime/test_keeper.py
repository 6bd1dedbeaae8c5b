"""One part is kept running, whatever happens to its process."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from millpond.errors import EmbeddedPartError
from millpond.runtime import keeper as keeper_module
from millpond.runtime.children import end_supervised, find_supervised, start_child
from millpond.runtime.home import Home, layout
from millpond.runtime.keeper import Keeper
from millpond.runtime.part import UP, Board, Health, Part, Status
from millpond.runtime.processes import Process, find_process, register, start_time
from millpond.settings import Settings, process_environment

Run = Callable[..., queue.Queue[tuple[Status, str]]]

SLEEPS = "import time; time.sleep(600)"
FAILS = "import sys; sys.exit('no flour')"
STARTS_ANOTHER = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "time.sleep(600)\n"
)
SUPERVISES = """
import sys, time
from pathlib import Path
from millpond.runtime.children import start_child
from millpond.runtime.home import layout
from millpond.settings import process_environment, settings
home = layout(settings())
child = start_child(["mill"], preload="json", home=home, log=home.logs / "mill.log",
                    folder=Path("/"), environment=process_environment())
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def own_home(
    configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = layout(configure(home=tmp_path / "home"))
    yield found
    end_supervised(found, grace=0.5)


def program(tmp_path: Path, code: str) -> None:
    (tmp_path / "mill.py").write_text(code)


@pytest.fixture
def keep(own_home: Home) -> Iterator[Run]:
    """Return a function that keeps the program `mill` running and returns the queue of what is told."""
    stopping, keepers = threading.Event(), []

    def start() -> subprocess.Popen[bytes]:
        child = start_child(
            ["mill"],
            preload="json",
            home=own_home,
            log=own_home.logs / "mill.log",
            folder=Path("/"),
            environment=process_environment(),
        )
        register(own_home, Process("mill", child.pid, start_time(child.pid) or 0.0, 0))
        return child

    def run(
        examine: Callable[[Process], Health] = lambda process: Health(UP),
        start: Callable[[], subprocess.Popen[bytes]] = start,
        silence_seconds: float = 60.0,
        wanted: Callable[[], bool] = lambda: True,
        **more: Any,
    ) -> queue.Queue[tuple[Status, str]]:
        told: queue.Queue[tuple[Status, str]] = queue.Queue()

        def tell(statuses: Sequence[Status], line: str) -> None:
            told.put((statuses[0], line))

        part = Part(
            "mill",
            lambda: find_process(own_home, "mill"),
            start,
            examine,
            silence_seconds=silence_seconds,
            wanted=wanted,
            **more,
        )
        keepers.append(Keeper(part, own_home, Board(own_home, [Status("mill")], tell), stopping))
        keepers[-1].start()
        return told

    yield run
    stopping.set()
    for keeper in keepers:
        keeper.hold()
    end_supervised(own_home, grace=0.5)
    for keeper in keepers:
        keeper.release()


def await_line(told: queue.Queue[tuple[Status, str]], words: str) -> Status:
    while True:
        status, line = told.get(timeout=30)
        if words in line:
            return status


def test_a_killed_part_is_started_again_and_says_so(keep: Run, tmp_path: Path) -> None:
    program(tmp_path, SLEEPS)
    told = keep()
    first = await_line(told, "mill is up").pid
    assert first
    os.kill(first, signal.SIGKILL)
    down = await_line(told, "was killed (SIGKILL); restarting")
    assert (down.state, down.restarts) == ("down", 1)
    assert await_line(told, "mill is up").pid != first


def test_a_part_that_another_starts_is_only_watched_and_its_end_and_return_are_told(
    keep: Run, own_home: Home
) -> None:
    def begin() -> subprocess.Popen[bytes]:
        mill = subprocess.Popen([sys.executable, "-c", SLEEPS])
        register(own_home, Process("mill", mill.pid, start_time(mill.pid) or 0.0, 0, True))
        return mill

    told = keep(started_by="the miller", explain=lambda: "ended; the miller starts it again")
    assert await_line(told, "mill is starting").state == "starting"
    first = begin()
    assert await_line(told, "mill is up").pid == first.pid
    first.kill()
    first.wait()
    away = await_line(told, "mill ended; the miller starts it again")
    assert (away.state, away.note, away.restarts, away.pid) == (
        "down",
        "ended; the miller starts it again",
        1,
        None,
    )
    second = begin()
    assert await_line(told, "mill is up").pid == second.pid
    third = begin()
    assert await_line(told, "mill is up").pid == third.pid
    assert second.poll() is None
    for each in (second, third):
        each.kill()
        each.wait()
    assert await_line(told, "the miller starts it again").restarts == 2


def test_a_part_that_cannot_run_is_tried_later_and_later(keep: Run, tmp_path: Path, own_home: Home) -> None:
    program(tmp_path, FAILS)
    told = keep(examine=lambda process: Health("starting"))
    await_line(told, "mill ended with exit code 1 (no flour); restarting in 0.2 s")
    await_line(told, "mill ended with exit code 1 (no flour); restarting in 0.5 s")
    assert (own_home.logs / "mill.log").read_text().startswith("no flour")


def test_a_part_that_hangs_is_ended_and_started_again(
    keep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_CHECK_SECONDS", 0.1)
    program(tmp_path, SLEEPS)
    answers = iter([True])

    def examine(process: Process) -> Health:
        if next(answers, False):
            return Health(UP)
        raise TimeoutError("timed out")

    told = keep(examine=examine, silence_seconds=0.5)
    pid = await_line(told, "mill is up").pid
    assert await_line(told, "mill is unhealthy: does not answer: timed out").pid == pid
    await_line(told, "was unhealthy for")
    assert await_line(told, "mill is starting")
    assert pid
    assert not psutil.pid_exists(pid)


def test_a_part_that_a_restart_would_not_mend_is_left_alone(keep: Run, tmp_path: Path) -> None:
    program(tmp_path, SLEEPS)
    told = keep(
        examine=lambda process: Health("unhealthy", "bad definitions", restartable=False), silence_seconds=0.0
    )
    status = await_line(told, "mill is unhealthy: bad definitions")
    assert (status.state, status.restarts) == ("unhealthy", 0)


def test_what_keeps_a_part_from_its_first_start_is_not_tried_again(keep: Run) -> None:
    def start() -> subprocess.Popen[bytes]:
        raise EmbeddedPartError("no mill here")

    before = set(threading.enumerate())
    keep(start=start)
    keeper = next(thread for thread in threading.enumerate() if thread not in before)
    assert isinstance(keeper, Keeper)
    while keeper.failure is None:
        assert keeper.is_alive()
    assert str(keeper.failure) == "no mill here"


def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path, own_home: Home) -> None:
    program(tmp_path, SLEEPS)
    with subprocess.Popen([sys.executable, "-c", SUPERVISES], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout
        child = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_what_a_child_started_is_ended_too_even_in_a_session_of_its_own(
    keep: Run, tmp_path: Path, own_home: Home
) -> None:
    program(tmp_path, STARTS_ANOTHER)
    await_line(keep(), "mill is up")
    while len(found := find_supervised(own_home)) < 2:
        pass
    end_supervised(own_home, grace=5)
    # The keeper may have started another one meanwhile; of those there were, none is left.
    assert psutil.wait_procs(found, timeout=5)[1] == []


def test_a_part_that_is_turned_off_is_not_started_again(
    keep: Run, own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_CHECK_SECONDS", 0.05)
    program(tmp_path, SLEEPS)
    on = threading.Event()
    on.set()
    told = keep(wanted=on.is_set)
    status = await_line(told, "is up")
    on.clear()
    assert status.pid
    os.kill(status.pid, signal.SIGKILL)
    assert await_line(told, "is turned off").pid is None
    assert find_process(own_home, "mill") is None
    on.set()
    assert await_line(told, "is up").pid != status.pid
