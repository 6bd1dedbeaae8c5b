"""A finder of alerts that is killed at any moment, as Dagster's daemon may be, finds each failure once."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.instance.home import open_instance
from millpond.partitions import Window
from millpond.runs.run import JOB, materialize
from millpond.runtime.home import Home
from millpond.settings import settings
from processes import FORKED, start

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
QUIET = Routing(late_after_days=0)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def broken() -> None:
    raise RuntimeError("always")


def finds_for_ever(ready: Any) -> None:
    known = AssetFacts.of([broken])
    with open_instance() as recorded:
        find_alerts(recorded, settings(), QUIET, known)
        ready.set()
        while True:
            find_alerts(recorded, settings(), QUIET, known)


def fails(recorded: dg.DagsterInstance, day: int) -> None:
    """Have a run fail for a day of its own."""
    made = dg.Definitions(assets=[broken], jobs=[dg.define_asset_job(JOB)])
    at = dt.date(2026, 1, 1) + dt.timedelta(days=day)
    materialize("*", Window.of_day(at), definitions=made, instance=recorded)


def killed_while_runs_fail(seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Have two runs fail per seed beside a finder that is killed at a random moment; return the alerts."""
    with open_instance() as recorded:
        for number, seed in enumerate(seeds):
            ready = FORKED.Event()
            finder = start(finds_for_ever, ready)
            assert ready.wait(60)
            fails(recorded, 2 * number)
            fails(recorded, 2 * number + 1)
            time.sleep(random.Random(seed).uniform(0, 0.2))
            finder.kill()
            finder.join()
        find_alerts(recorded, settings(), QUIET, AssetFacts.of([broken]))
    with outbox() as connection:
        return connection.execute("select partition, kind, times from alerts order by 1").fetchall()


def each_once(alerts: Sequence[dict[str, Any]], runs: int) -> None:
    days = [str(dt.date(2026, 1, 1) + dt.timedelta(days=n)) for n in range(runs)]
    assert [(a["partition"], a["kind"], a["times"]) for a in alerts] == [
        (day, "run_failed", 1) for day in days
    ]


def test_a_finder_killed_at_random_moments_finds_each_failure_once(home: Home) -> None:
    each_once(killed_while_runs_fail(range(2)), 4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_finder_killed_twenty_times_finds_each_failure_once(home: Home) -> None:
    each_once(killed_while_runs_fail(range(100, 120)), 40)
