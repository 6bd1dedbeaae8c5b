"""`millpond backfill` as it is typed: what is refused, what is printed, how it exits."""

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from millpond.backfill import ledger
from millpond.runtime.home import Home
from millpond.settings import process_environment

Run = Callable[..., tuple[int, str, str]]
DAYS = ("--start-date", "2026-10-01", "--end-date", "2026-10-03")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dlt_climate_entries",),
        (*DAYS,),
        ("dlt_climate_entries", *DAYS, "--partitions", "2026-10-01"),
        ("dlt_climate_entries", "--partitions", "yesterday"),
        ("nothing_of_that_name", *DAYS),
        ("--resume",),
        ("show", "0000_000000"),
        ("cancel", "0000_000000"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(
    home: Home, run: Run, arguments: tuple[str, ...]
) -> None:
    code, out, err = run("backfill", *arguments)
    assert code == 2, out
    assert "Next:" in err


_RIGHT = "2026-10-01...2026-10-03"


@pytest.mark.parametrize(
    ("typed", "advised"),
    [
        (
            "backfill F --partitions 2026-10-03..2026-10-01 --dry-run",
            f"backfill F {' '.join(DAYS)} --dry-run",
        ),
        (
            "backfill F --partitions=2026-10-01...2026-10-03 --dry-run",
            f"backfill F {' '.join(DAYS)} --dry-run",
        ),
        (
            "backfill F --partitions 2026-10-03:2026-10-02,2026-10-07 --dry-run",
            "backfill F --partitions 2026-10-02,2026-10-03,2026-10-07 --dry-run",
        ),
        (
            "backfill F --start-date 2026-10-03 --end-date=2026-10-01 --dry-run",
            "backfill F --start-date 2026-10-01 --end-date=2026-10-03 --dry-run",
        ),
        (
            "materialize 'nothing*' --range 2026-10-03...2026-10-01",
            f"materialize 'nothing*' --range {_RIGHT}",
        ),
        ("materialize 'nothing*' -r 2026-10-03..2026-10-01", f"materialize 'nothing*' -r {_RIGHT}"),
        ("sources accept F --range 2026-10-03...2026-10-01", f"sources accept F --range {_RIGHT}"),
    ],
)
def test_days_the_wrong_way_round_are_refused_with_the_command_that_was_meant(
    home: Home, run: Run, typed: str, advised: str
) -> None:
    name = "dlt_climate_entries"
    code, _, err = run(*shlex.split(typed.replace(" F ", f" {name} ")))
    advice = err[err.index("Next:") :].replace("\n", " ")
    assert code == 2
    assert f"`millpond {advised.replace(' F ', f' {name} ')}`" in advice
    code, out, err = run(*shlex.split(advised.replace(" F ", f" {name} ")))
    said = (
        "no asset is called"
        if "nothing" in typed
        else "are held back"
        if "accept" in typed
        else "3 to do in "
    )
    assert said in out + err, out + err


def test_help_teaches_with_examples_and_names_the_other_commands(run: Run) -> None:
    code, out, _ = run("backfill", "--help")
    assert code == 0
    for word in (
        "--start-date",
        "--resume",
        "backfill list",
        "backfill show",
        "backfill cancel",
        "Exit codes",
    ):
        assert word in out


def test_a_backfill_is_planned_carried_out_listed_and_not_repeated(home: Home, run: Run) -> None:
    code, out, _ = run("backfill", "dlt_climate_entries", *DAYS, "--dry-run")
    assert code == 0
    assert json.loads(run("backfill", "list", "--json")[1]) == []

    code, out, err = run("backfill", "dlt_climate_entries", *DAYS, "--json")
    assert code == 0, err
    ended = json.loads(out)
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 3, 0)
    assert [part["day"] for part in ended["partitions"]] == ["2026-10-01", "2026-10-02", "2026-10-03"]
    assert ended["rows"] == sum(part["rows"] for part in ended["partitions"]) > 500

    (listed,) = json.loads(run("backfill", "list", "--json")[1])
    assert (listed["id"], listed["state"], listed["done"]) == (ended["id"], "done", 3)
    shown = json.loads(run("backfill", "show", ended["id"], "--json")[1])
    assert shown["partitions"] == ended["partitions"]

    code, out, _ = run("backfill", "dlt_climate_entries", *DAYS)
    assert code == 0
    assert "nothing to do" in out
    assert run("backfill", "--resume")[0] == 2


def test_a_backfill_whose_code_or_days_changed_is_not_resumed_unless_forced(home: Home, run: Run) -> None:
    from dataclasses import replace

    from millpond.backfill.ledger import BackfillState
    from millpond.backfill.planner import make_plan
    from millpond.definitions import defs
    from millpond.instance.home import open_instance
    from millpond.partitions import Window, check_window
    from millpond.settings import settings

    window = check_window(Window.parse("2026-10-01...2026-10-03"), settings().start_date, settings().zone)
    with open_instance() as recorded:
        made = make_plan("dlt_climate_entries", window.days, instance=recorded, definitions=defs, ref="main")
    backfill = ledger.create(replace(made, code="another"), {})
    ledger.end(backfill, BackfillState.INTERRUPTED, 0.0)
    code, _, err = run("backfill", "--resume")
    assert code == 2
    assert "code" in err
    assert "--force" in err
    code, _, err = run(
        "backfill", "--resume", backfill, "--start-date", "2026-10-02", "--end-date", "2026-10-03"
    )
    assert code == 2
    assert "2026-10-01...2026-10-03" in err
    code, out, err = run("backfill", "--resume", backfill, "--force", "--json")
    assert code == 0, err
    assert json.loads(out)["done"] == 3


@contextmanager
def in_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `millpond` with a terminal; yields the process and the terminal's other end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "millpond.cli.entry", *arguments],
        env=process_environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    said = ""
    while text not in said:
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return said
    return said


@pytest.mark.slow
def test_ctrl_c_at_the_question_begins_nothing_and_leaves_no_process(home: Home, ctrl_c: None) -> None:
    with in_a_terminal("backfill", "dlt_climate_entries*", *DAYS) as (process, terminal):
        read_until(terminal, "[Y/n]")
        children = psutil.Process(process.pid).children()
        assert children, "models are due, so that a process warms dbt meanwhile"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "millpond backfill list" in read_until(terminal, "resume")
    psutil.wait_procs(children, timeout=30)
    assert not [child for child in children if child.is_running()]
    assert ledger.list_backfills() == []


def test_ctrl_c_while_the_command_loads_ends_it_without_a_word_of_python(home: Home, ctrl_c: None) -> None:
    with in_a_terminal("backfill", "*", *DAYS, "--dry-run") as (process, terminal):
        while not any("site-packages" in mapped.path for mapped in psutil.Process(process.pid).memory_maps()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() in (130, -signal.SIGINT)
        assert "Traceback" not in read_until(terminal, "never said")
