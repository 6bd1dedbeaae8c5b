"""Backfills killed at random moments: resumed, they come to the tables of one that nobody disturbed."""

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from millpond.backfill import ledger
from millpond.backfill.ledger import BackfillState
from millpond.backfill.ledger_chunks import PartitionState
from millpond.cli.backfill_run import Options, begin, resume
from millpond.lake import read, refs
from millpond.naming import pluralize
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server as found_server
from millpond.runtime.processes import start_time
from millpond.settings import process_environment
from processes import start

SIXTY = Window.of_days(dt.date(2026, 8, 1), dt.date(2026, 9, 29))
BOTH = "dlt_climate_entries,stg_climate_entries"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "millpond.cli.main", "backfill", *arguments, "--yes"]


def begun(ref: str, log: Path) -> subprocess.Popen[bytes]:
    span = ("--start-date", str(SIXTY.start), "--end-date", str(SIXTY.last), "--chunk-days", "12")
    with log.open("wb") as out:
        return subprocess.Popen(
            command(BOTH, *span, "--ref", ref),
            env=process_environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def finished(*arguments: str) -> str:
    done = subprocess.run(command(*arguments), env=process_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tables(ref: str) -> dict[str, pa.Table]:
    return {name: _plain(read.scan(ref, name)) for name in read.list_tables(ref)}


def _plain(rows: pa.Table) -> pa.Table:
    own = rows.select(sorted(name for name in rows.column_names if not name.startswith("_")))
    return own.sort_by([(name, "ascending") for name in own.column_names]).combine_chunks()


def carried_out(ref: str, resumed: str | None = None, days: int = len(SIXTY)) -> None:
    """Begin or resume a backfill as the command does, in five runs if there are days enough."""
    options = Options(
        selection=resumed or BOTH,
        days=None if resumed else SIXTY.days[:days],
        ref=ref,
        force=False,
        stale=False,
        downstream=False,
        accept_shrink=False,
        parallel=1,
        chunk_days=max(3, days // 5),
        max_failures=None,
        dry_run=False,
        yes=True,
        as_json=False,
    )
    sys.exit(resume(options) if resumed else begin(options))


def killed(process: ForkServerProcess | subprocess.Popen[bytes], known: set[str], after: float) -> str:
    """Kill a process so many seconds after it has begun a backfill; return its id."""
    while not (new := [backfill.id for backfill in ledger.list_backfills() if backfill.id not in known]):
        assert start_time(process.pid or 0), "it ended before it began"
        time.sleep(0.02)
    time.sleep(after)
    process.kill()
    process.wait() if isinstance(process, subprocess.Popen) else process.join()
    return new[0]


def known() -> set[str]:
    return {backfill.id for backfill in ledger.list_backfills()}


def assert_all_done(backfill: str, days: int = len(SIXTY)) -> None:
    ended = ledger.get(backfill)
    assert ended is not None
    assert (ended.state, ended.counts) == (BackfillState.DONE, {PartitionState.DONE: 2 * days})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_backfill_resumes_to_the_tables_of_an_undisturbed_one(home: Home, tmp_path: Path) -> None:
    refs.create("calm")
    assert begun("calm", tmp_path / "calm.log").wait() == 0, (tmp_path / "calm.log").read_text()
    seconds = ledger.list_backfills()[0].seconds
    backfill = killed(begun("main", tmp_path / "log"), known(), random.Random(11).uniform(0, seconds))
    finished("--resume", backfill)
    assert_all_done(backfill)
    assert tables("main") == tables("calm")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", [5, 7])
def test_killed_backfills_resume_to_the_same_tables(home: Home, seed: int) -> None:
    days, chance, names = 20, random.Random(seed), [f"killed_{n}" for n in range(10)]
    for ref in ["calm", *names]:
        refs.create(ref)
    undisturbed = start(carried_out, "calm", None, days)
    undisturbed.join()
    assert undisturbed.exitcode == 0
    calm, seconds = tables("calm"), ledger.list_backfills()[0].seconds
    assert len(calm["raw.climate_entries"]) > 200 * days
    for ref in names:
        backfill = killed(start(carried_out, ref, None, days), known(), chance.uniform(0, seconds))
        dead = ledger.get(backfill)
        assert dead is not None
        assert not dead.alive
        again = start(carried_out, ref, backfill)
        again.join()
        assert again.exitcode == 0 or dead.state == BackfillState.DONE
        assert_all_done(backfill, days)
        assert tables(ref) == calm, f"killed on {ref}, seed {seed}"


def test_a_backfill_killed_when_all_was_made_is_done_once_it_is_resumed(home: Home) -> None:
    start(carried_out, "main", None, 3, crash_at=["backfill.worked_off"]).join()
    (dead,) = ledger.list_backfills()
    assert (dead.state, dead.dead, dead.unfinished) == (BackfillState.RUNNING, True, 0)
    again = start(carried_out, "main", dead.id)
    again.join()
    assert again.exitcode == 0
    assert ledger.list_backfills()[0].state == BackfillState.DONE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_database_killed_in_mid_backfill_leaves_the_same_tables(home: Home) -> None:
    refs.create("calm")
    calm = start(carried_out, "calm")
    calm.join()
    seconds, chance = ledger.list_backfills()[0].seconds, random.Random(3)
    for ref in [f"restarted_{n}" for n in range(3)]:
        refs.create(ref)
        before, process = known(), start(carried_out, ref)
        while not (new := known() - before):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, seconds))
        server = found_server(home)
        assert server is not None
        psutil.Process(server.pid).kill()
        process.join()
        if process.exitcode:
            again = start(carried_out, ref, *new)
            again.join()
            assert again.exitcode == 0
        assert_all_done(*new)
        assert tables(ref) == tables("calm")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_ends_the_command_with_what_is_done_and_how_to_go_on(
    home: Home, tmp_path: Path, ctrl_c: None
) -> None:
    log = tmp_path / "log"
    process = begun("main", log)
    while "✓" not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    (stopped,) = ledger.list_backfills()
    assert stopped.state == BackfillState.INTERRUPTED
    assert stopped.counts[PartitionState.DONE] > 0
    assert f"millpond backfill --resume {stopped.id}" in log.read_text()
    again = finished("--resume")
    assert f"{pluralize(stopped.unfinished, 'partition')} left" in again


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
    (ended,) = ledger.list_backfills()
    assert (ended.state, ended.counts) == (BackfillState.DONE, {PartitionState.DONE: 2 * len(SIXTY)})


def _working() -> list[int]:
    from millpond.backfill.ledger_chunks import find_abandoned

    return [pid for backfill in ledger.list_backfills() for pid in find_abandoned(backfill.id)[1]]
