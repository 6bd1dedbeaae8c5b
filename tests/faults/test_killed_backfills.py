"""Backfills killed at random moments: resumed, they come to the tables of one that nobody disturbed."""

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millpond.backfill import ledger
from millpond.backfill.ledger import Course
from millpond.backfill.ledger_chunks import Part
from millpond.lake import read, refs
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import process_environment

SIXTY = Window.of_days(dt.date(2026, 8, 1), dt.date(2026, 9, 29))
RAW, BOTH = "dlt_glucose_entries", "dlt_glucose_entries,stg_glucose_entries"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "millpond.cli.main", "backfill", *arguments, "--yes"]


def begun(ref: str, log: Path, selection: str = BOTH) -> subprocess.Popen[bytes]:
    span = ("--start-date", str(SIXTY.start), "--end-date", str(SIXTY.last), "--chunk-days", "12")
    with log.open("wb") as out:
        return subprocess.Popen(
            command(selection, *span, "--ref", ref),
            env=process_environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def finished(*arguments: str) -> str:
    done = subprocess.run(command(*arguments), env=process_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tables(ref: str) -> dict[str, list[str]]:
    return {
        name: sorted(
            str({column: value for column, value in row.items() if not column.startswith("_")})
            for row in read.scan(ref, name).to_pylist()
        )
        for name in read.table_names(ref)
    }


def killed_in_the_middle(ref: str, selection: str, chance: random.Random, seconds: float, log: Path) -> str:
    """Begin a backfill and kill it at some moment of its work; return its id."""
    known = {backfill.id for backfill in ledger.every()}
    process = begun(ref, log, selection)
    while not (new := [b for b in ledger.every() if b.id not in known]):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    time.sleep(chance.uniform(0, seconds))
    process.send_signal(signal.SIGKILL)
    process.wait()
    return new[0].id


def _compare(tmp_path: Path, selection: str, moments: int, seed: int) -> None:
    names = ["main", *[f"killed_{n}" for n in range(1, moments)]]
    for ref in ["calm", *names[1:]]:
        refs.create(ref)
    assert begun("calm", tmp_path / "calm.log", selection).wait() == 0, (tmp_path / "calm.log").read_text()
    calm = tables("calm")
    assert len(calm["raw.glucose_entries"]) > 10_000
    seconds = ledger.every()[0].seconds
    chance = random.Random(seed)
    for ref in names:
        backfill = killed_in_the_middle(ref, selection, chance, seconds, tmp_path / f"{ref}.log")
        dead = ledger.get(backfill)
        assert dead is not None
        assert not dead.alive
        finished("--resume", backfill)
        resumed = ledger.get(backfill)
        assert resumed is not None
        assert (resumed.state, resumed.counts) == (
            Course.DONE,
            {Part.DONE: len(SIXTY) * len(selection.split(","))},
        )
        assert tables(ref) == calm, f"killed on {ref}, seed {seed}"


@pytest.mark.timeout(600)
def test_a_killed_backfill_resumes_to_the_tables_of_an_undisturbed_one(home: Home, tmp_path: Path) -> None:
    _compare(tmp_path, BOTH, moments=1, seed=11)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [5, 7])
def test_ten_killed_backfills_resume_to_the_same_tables(home: Home, tmp_path: Path, seed: int) -> None:
    _compare(tmp_path, RAW, moments=5, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_ends_the_command_with_what_is_done_and_how_to_go_on(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = begun("main", log)
    while "✓" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    (stopped,) = ledger.every()
    assert stopped.state == Course.INTERRUPTED
    assert stopped.counts[Part.DONE] > 0
    assert f"millpond backfill --resume {stopped.id}" in log.read_text()
    again = finished("--resume")
    assert f"{stopped.unfinished} partitions left" in again


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_several_workers_make_what_one_makes_and_a_killed_one_is_replaced(home: Home, tmp_path: Path) -> None:
    span = ("--start-date", str(SIXTY.start), "--end-date", str(SIXTY.last), "--chunk-days", "10")
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(BOTH, *span, "--parallel", "2"),
            env=process_environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    while not (claimed := _working()):
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    os.kill(claimed[0], signal.SIGKILL)
    assert process.wait() == 0, log.read_text()
    (ended,) = ledger.every()
    assert (ended.state, ended.counts) == (Course.DONE, {Part.DONE: 2 * len(SIXTY)})


def _working() -> list[int]:
    from millpond.backfill.ledger_chunks import abandoned

    return [pid for backfill in ledger.every() for pid in abandoned(backfill.id)[1]]
