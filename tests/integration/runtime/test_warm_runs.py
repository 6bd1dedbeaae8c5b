"""Runs of `millpond up` are forked from a process that has the code loaded; one that dies harms no other."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from background_parts import FREE_PORTS, READY_SECONDS, ask_for_launch, launch, millpond, status, terminate
from warm_project import ENDED, look, process_of, read_metadata, status_of, wait_for

from millpond.runtime.children import find_supervised
from millpond.runtime.home import locate
from millpond.runtime.processes import find_process
from millpond.runtime.supervised_parts import CODE_SERVER
from millpond.runtime.warm_client import COMMAND_SERVER, RUN_SERVER, SOCKET
from millpond.settings import process_environment, settings
from waiting import until

pytestmark = pytest.mark.slow
MOST_MEGABYTES = 480
"""Of memory that the processes which runs and commands are forked from take together (PSS)."""
IMPORTS = 40
"""Modules that a run may import after it was forked, of some 4,000."""


def test_runs_start_loaded_and_one_that_is_killed_or_ended_harms_no_other(up: Path) -> None:
    first, second = look(), look()
    assert first["parent"] == second["parent"]
    assert "multiprocessing.forkserver" in " ".join(psutil.Process(first["parent"]).cmdline())
    assert max(first["imported"], second["imported"]) < IMPORTS
    assert first["drawn"] != second["drawn"]
    assert first["of_python"] != second["of_python"]
    assert not first["bars"], "DuckDB takes the run for a person at a prompt"

    killed, ended, other = (launch("wait") for _ in range(3))
    for run in (killed, ended, other):
        wait_for(run, {"STARTED"})
    process_of(killed).kill()
    assert wait_for(killed, ENDED) == "FAILURE"
    terminate(ended)
    assert wait_for(ended, ENDED) == "CANCELED"
    assert status_of(other) == "STARTED"
    (up / "home" / "go on").touch()
    assert wait_for(other, ENDED) == "SUCCESS"

    # The process they are forked from is replaced; the runs it had end with it.
    (up / "home" / "go on").unlink()
    last = launch("wait")
    wait_for(last, {"STARTED"})
    psutil.Process(first["parent"]).send_signal(signal.SIGKILL)
    assert wait_for(last, ENDED) == "FAILURE"
    third = look()
    assert third["parent"] != first["parent"]

    code = up / "own" / "assets.py"
    code.write_text(code.read_text().replace('"edit": 0', '"edit": 1'))
    assert look()["edit"] == 0
    reloaded = millpond("reload")
    assert reloaded.returncode == 0
    assert reloaded.stdout.endswith("which loads the code: `millpond status` shows when it is up\n")
    fourth = look()
    assert (fourth["edit"], fourth["parent"] != third["parent"]) == (1, True)
    assert find_process(locate(settings()), CODE_SERVER)


def find_servers() -> tuple[psutil.Process, psutil.Process]:
    """Return the code server, and its process with the definitions."""
    found = find_process(locate(settings()), CODE_SERVER)
    assert found
    outer = psutil.Process(found.pid)
    (inner,) = [child for child in outer.children() if "grpc" in child.cmdline()]
    return outer, inner


@pytest.mark.parametrize("up", [True, False], indirect=True, ids=["warm", "cold"])
@pytest.mark.usefixtures("up")
def test_a_run_whose_code_server_was_killed_goes_on_and_is_terminated_as_others_are() -> None:
    runs = [launch("wait") for _ in range(3)]
    for run in runs:
        wait_for(run, {"STARTED"})
    processes = [process_of(run) for run in runs]
    outer, busy = find_servers()
    outer.kill()
    terminate(runs[0])  # there is no code server
    assert wait_for(runs[0], ENDED) == "CANCELED"
    until(lambda: not processes[0].is_running(), READY_SECONDS)
    until(lambda: status()["up"], READY_SECONDS, every=0.5)
    terminate(runs[1])  # there is one that does not know of it
    assert wait_for(runs[1], ENDED) == "CANCELED"
    until(lambda: not processes[1].is_running(), READY_SECONDS)
    processes[2].kill()
    assert wait_for(runs[2], ENDED) == "FAILURE"
    until(lambda: not busy.is_running(), READY_SECONDS)


def test_the_process_with_the_definitions_ends_after_its_runs_when_the_code_server_is_killed(
    up: Path,
) -> None:
    def kill(outer: psutil.Process) -> None:
        outer.kill()
        outer.wait(READY_SECONDS)
        until(lambda: status()["up"], READY_SECONDS, every=0.5)

    look()
    outer, idle = find_servers()
    kill(outer)
    until(lambda: not idle.is_running(), READY_SECONDS)

    run = launch("wait")
    wait_for(run, {"STARTED"})
    outer, busy = find_servers()
    outer.kill()
    outer.wait(READY_SECONDS)
    meanwhile = ask_for_launch("look")  # it waits
    assert wait_for(meanwhile["run"]["runId"], ENDED) == "SUCCESS"
    look()  # by the next code server
    assert (status_of(run), busy.is_running()) == ("STARTED", True)
    (up / "home" / "go on").touch()
    assert wait_for(run, ENDED) == "SUCCESS"
    until(lambda: not busy.is_running(), READY_SECONDS)


def find(name: str) -> int:
    """Return the process of that name once it runs and is ready; 0 else."""
    process = find_process(locate(settings()), name)
    return process.pid if process and process.ready else 0


def test_whichever_of_the_loaded_processes_is_killed_comes_back_without_a_run_and_is_told(up: Path) -> None:
    home, both = locate(settings()), (RUN_SERVER, COMMAND_SERVER)
    until(lambda: all(map(find, both)), READY_SECONDS)
    parent = psutil.Process(find(RUN_SERVER)).ppid()
    assert psutil.Process(find(COMMAND_SERVER)).ppid() == parent
    told = home.logs / "up.log"
    until(lambda: all(f"{name} is up" in told.read_text() for name in both), READY_SECONDS)
    for pid, gone in (
        (find(COMMAND_SERVER), (COMMAND_SERVER,)),
        (find(RUN_SERVER), (RUN_SERVER,)),
        (parent, both),
    ):
        before = {name: find(name) for name in both}
        told.write_text("")
        psutil.Process(pid).kill()
        until(
            lambda gone=gone, before=before: all(find(n) not in (0, before[n]) for n in gone), READY_SECONDS
        )
        assert {name for name in both if find(name) != before[name]} == set(gone)
        for name in gone:
            until(lambda name=name: f"{name} is up" in told.read_text(), READY_SECONDS)
            assert f"{name} ended; {CODE_SERVER} starts it again" in told.read_text()
    assert type_command("materialize", "version")[0] == 0
    assert read_metadata("version")["warm"] is True
    assert look()["parent"] == find(RUN_SERVER)
    shown = status()
    restarts = {part["name"]: part["restarts"] for part in shown["parts"]}
    assert (shown["up"], restarts[RUN_SERVER], restarts[COMMAND_SERVER]) == (True, 2, 2)


def type_command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the script `millpond` with the environment of `up`'s."""
    answer = subprocess.run(
        [sys.executable, "-m", "millpond.cli.entry", *arguments],
        env=process_environment(**{**FREE_PORTS, **environment}),
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode, answer.stdout, answer.stderr


def type_in_a_terminal(*arguments: str) -> str:
    """Run the script `millpond` in a terminal, and return what it shows."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "millpond.cli.entry", *arguments]
    process = subprocess.Popen(words, env=process_environment(**FREE_PORTS), stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end was closed
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    assert process.wait(READY_SECONDS) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())


def find_loaded() -> list[psutil.Process]:
    """Return the processes that runs and commands are forked from."""
    home = locate(settings())
    return [
        each for each in find_supervised(home) if "multiprocessing.forkserver" in " ".join(each.cmdline())
    ]


def test_commands_are_forked_and_say_and_do_what_they_do_alone(up: Path) -> None:
    socket = locate(settings()).run / SOCKET
    until(socket.exists, READY_SECONDS)
    loaded = find_loaded()
    assert len(loaded) == 3
    assert sum(each.memory_full_info().pss for each in loaded) < MOST_MEGABYTES * 2**20
    for words in (
        ["sql", "select 1 as one, 'a' as b"],
        ["sql", "select 1 as one", "--csv"],
        ["sql", "select current_setting('enable_progress_bar')", "--json"],
        ["sql", "selec"],
        ["sql", "select * from gold.missing", "--json"],
        ["tables"],
        ["tables", "history", "gold.missing"],
        ["materialize", "missing"],
        ["materialize"],
        ["backfill", "list", "--json"],
        ["history", "--json"],
        ["sources", "--json"],
        ["status", "--no-such-option"],
    ):
        assert type_command(*words) == type_command(*words, MILLPOND_WARM_RUNS="false"), words

    code = up / "own" / "assets.py"
    for edit in range(2):
        text = code.read_text().replace(f'"version": {edit}', f'"version": {edit + 1}')
        code.write_text(f"{text}# another size: Python compares times by the second\n")
        assert type_command("materialize", "version")[0] == 0
        assert read_metadata("version") == {"version": edit + 1, "warm": True}
    code, shown, said = type_command("materialize", "version", "--json", MILLPOND_WARM_RUNS="false")
    assert (code, json.loads(shown)["success"]) == (0, True)
    assert "an asset that prints" in said
    assert read_metadata("version") == {"version": 2, "warm": False}
    slow = type_command("status", PYTHONOPTIMIZE="1")[1]
    assert "Commands typed here load the code themselves" in slow
    assert "Commands typed here" not in type_command("status")[1]
    before, forked_from = find(COMMAND_SERVER), find(RUN_SERVER)
    assert type_in_a_terminal("reload").rstrip().endswith("runs start at once again")
    assert find(RUN_SERVER) not in (0, forked_from)
    until(lambda: find(COMMAND_SERVER) not in (0, before), READY_SECONDS)
    until(lambda: find(RUN_SERVER), READY_SECONDS)
    assert " ended" not in (locate(settings()).logs / "up.log").read_text(), "a reload is no failure"
    assert type_command("materialize", "version")[0] == 0
    assert read_metadata("version") == {"version": 2, "warm": True}
