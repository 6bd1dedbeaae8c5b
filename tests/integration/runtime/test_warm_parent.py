"""The processes that runs and commands are forked from are forked again by their parent, and end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from millpond.runtime.home import Home, layout
from millpond.runtime.processes import Process, find_process, register, start_time
from millpond.runtime.warm_client import COMMAND_SERVER, RUN_SERVER
from millpond.settings import Settings
from waiting import until

PARENT = """
import os, sys, time
from functools import partial
from pathlib import Path
from millpond.runtime.processes import Process, record, start_time
from millpond.runtime.warm_client import COMMAND_SERVER
from millpond.runtime.warm_parent import WarmParent
folder = Path(sys.argv[1])

def serve(names):
    (folder / "names").write_text(" ".join(names))
    record(folder, Process(COMMAND_SERVER, os.getpid(), start_time(os.getpid()), 0, True))
    while not (folder / "changed").exists():
        time.sleep(0.02)
    os._exit(0)

with open(WarmParent(folder, serve).fork_runs(), "w") as names:
    names.write("json\\ntextwrap")
while not (folder / "over").exists():
    time.sleep(0.02)
"""


@dataclass
class Tree:
    """A parent with both processes, which are recorded in the home."""

    home: Home
    parent: subprocess.Popen[bytes]

    def pid(self, name: str) -> int:
        process = find_process(self.home, name)
        return process.pid if process and process.ready else 0

    def log(self) -> str:
        return (self.home.run / "log").read_text()


@pytest.fixture
def tree(configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Tree]:
    home = layout(configure(home=tmp_path / "home"))
    with (home.run / "log").open("ab") as log:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(home.run)], stderr=log)
    found = Tree(home, parent)
    until(lambda: found.pid(RUN_SERVER) and found.pid(COMMAND_SERVER))
    yield found
    parent.kill()
    parent.wait()


@pytest.mark.parametrize(("name", "other"), [(RUN_SERVER, COMMAND_SERVER), (COMMAND_SERVER, RUN_SERVER)])
def test_one_that_is_killed_is_forked_again_later_and_later_and_the_other_goes_on(
    tree: Tree, name: str, other: str
) -> None:
    kept = tree.pid(other)
    for seconds in ("0.2", "0.5"):
        killed = tree.pid(name)
        os.kill(killed, signal.SIGKILL)
        until(lambda killed=killed: tree.pid(name) not in (0, killed))  # type: ignore[misc]
        assert f"{name} was killed (SIGKILL); it is forked again in {seconds} s" in tree.log()
    assert tree.pid(other) == kept
    assert (tree.home.run / "names").read_text() == "json textwrap"


def test_the_tree_of_a_code_server_that_was_started_later_is_left_in_its_place(tree: Tree) -> None:
    os.kill(tree.pid(COMMAND_SERVER), signal.SIGKILL)
    own = tree.pid(RUN_SERVER)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as later:
        for name in (RUN_SERVER, COMMAND_SERVER):
            register(tree.home, Process(name, later.pid, start_time(later.pid) or 0.0, 0, True))
        os.kill(own, signal.SIGKILL)
        until(lambda: "run-server was killed" in tree.log())
        until(lambda: [each.pid for each in psutil.Process(tree.parent.pid).children()] not in ([], [own]))
        assert tree.pid(RUN_SERVER) == tree.pid(COMMAND_SERVER) == later.pid
        later.kill()


def test_both_end_with_their_parent(tree: Tree) -> None:
    both = [psutil.Process(tree.pid(name)) for name in (RUN_SERVER, COMMAND_SERVER)]
    tree.parent.kill()
    tree.parent.wait()
    until(lambda: not any(each.is_running() for each in both))


def test_all_end_once_no_client_needs_runs_and_commands_are_not_forked_from_code_that_changed(
    tree: Tree,
) -> None:
    commands = psutil.Process(tree.pid(COMMAND_SERVER))
    (tree.home.run / "changed").touch()
    until(lambda: not commands.is_running())
    assert tree.parent.poll() is None
    (tree.home.run / "over").touch()
    assert tree.parent.wait(20) == 0
    assert tree.pid(RUN_SERVER) == tree.pid(COMMAND_SERVER) == 0
    assert tree.log() == ""
