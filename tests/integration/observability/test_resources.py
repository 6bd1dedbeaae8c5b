"""What parts and runs use of the machine is sampled, each process once, and kept for a week."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from millpond.observability.resources import read_run_usage, read_usage
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.part import UP, Health, Part
from millpond.runtime.processes import Process, start_time
from millpond.runtime.sampling import DISK, MACHINE, RUNS, Sampler, store

RUN = "0b1e3a52-1111-4222-8333-444455556666"
WORK = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
CHILD = f"{WORK}print('worked', flush=True)\nimport sys; sys.stdin.read()"
PARENT = f"""
import subprocess, sys
command = [sys.executable, "-c", {CHILD!r}, '{{"run_' + 'id": "{RUN}"}}']
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stdout)
print("started", flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    """A process with a child that executes a run, which has worked for 0.4 s of processor time."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    yield process
    process.communicate()


def build_part(process: subprocess.Popen[str]) -> Part:
    found = Process("code-server", process.pid, start_time(process.pid) or 0.0, 0)
    return Part("code-server", lambda: found, lambda: None, lambda _: Health(UP))


def test_each_part_and_run_is_sampled_and_what_is_older_than_a_week_goes(
    home: Home, server: subprocess.Popen[str]
) -> None:
    sampler = Sampler(home, [build_part(server)])
    sampler.take()
    assert server.stdout
    assert sorted(server.stdout.readline().strip() for _ in range(2)) == ["started", "worked"]
    samples = {(each.part, each.run): each for each in sampler.take()}
    assert samples.keys() == {
        ("code-server", ""),
        (RUNS, RUN),
        ("millpond up", ""),
        (MACHINE, ""),
        (DISK, ""),
    }
    run = samples[RUNS, RUN]
    assert run.cores > 0.01, "the work of a process that is new since the sample before counts"
    assert run.bytes > 1_000_000
    assert samples["code-server", ""].cores < run.cores, (
        "a run's work is not that of the part below which it runs"
    )
    now = dt.datetime.now(dt.UTC)
    with databases().ops.connect() as connection:
        old = "insert into resource_samples values (now() - interval '8 days', 'machine', '', 1, 1)"
        connection.execute(old)
    store(samples.values())
    usage = read_usage(now - dt.timedelta(days=30), now + dt.timedelta(hours=1))
    assert {type(each.bytes) for each in usage} == {int}
    assert {each.part for each in usage} == {"code-server", RUNS, "millpond up", MACHINE, DISK}
    (of_run,) = read_run_usage(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1))
    assert (of_run.run, of_run.bytes) == (RUN, run.bytes)
    assert of_run.cores == pytest.approx(run.cores, rel=1e-3)


def test_a_span_of_time_has_at_most_240_steps(home: Home) -> None:
    assert home.root.exists()
    with databases().ops.connect() as connection:
        connection.execute(
            "insert into resource_samples select at, 'webserver', '', 0.5, 1000 + extract(minute from at)"
            " from generate_series(now() - interval '6 days', now(), interval '5 minutes') at"
        )
    now = dt.datetime.now(dt.UTC)
    usage = read_usage(now - dt.timedelta(days=6), now)
    assert 200 < len(usage) <= 241
    assert {each.cores for each in usage} == {0.5}


def test_a_run_of_a_moment_has_its_processor_time_and_memory(recorded: dg.DagsterInstance) -> None:
    @dg.asset
    def worked() -> None:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass

    @dg.asset
    def broken() -> None:
        raise dg.Failure("broken", allow_retries=False)

    runs = [dg.materialize([each], instance=recorded, raise_on_error=False) for each in (worked, broken)]
    now = dt.datetime.now(dt.UTC)
    used = {
        each.run: each for each in read_run_usage(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1))
    }
    assert used.keys() == {each.run_id for each in runs}, "the failed one, too"
    stats = recorded.get_run_stats(runs[0].run_id)
    spent = used[runs[0].run_id].cores * (stats.end_time - stats.start_time)  # type: ignore[attr-defined]
    assert 0.15 < spent < 5
    assert 10_000_000 < used[runs[0].run_id].bytes < 100_000_000_000
    assert read_usage(now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)) == [], (
        "no part of the platform"
    )


def test_a_run_succeeds_where_its_use_cannot_be_recorded(recorded: dg.DagsterInstance) -> None:
    @dg.asset
    def worked() -> None: ...

    with databases().ops.connect(autocommit=True) as connection:
        connection.execute("alter table resource_samples rename to away")
        try:
            assert dg.materialize([worked], instance=recorded).success
        finally:
            connection.execute("alter table away rename to resource_samples")
