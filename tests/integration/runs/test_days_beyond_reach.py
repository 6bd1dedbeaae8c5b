"""Days that a source serves no more: a run over them is no failure, and none is taken for an empty day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from fake_source import Events, FakeSource, event, fake_source
from millpond.automation.conditions import BeyondReach
from millpond.backfill.plan import State
from millpond.backfill.planner import make_plan
from millpond.lake import read
from millpond.partitions import Window
from millpond.runs.progress import RunOutcome
from millpond.runs.run import materialize
from millpond.settings import Settings

pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.date(2026, 1, 10)  # the days within reach lie in two years
MIDNIGHT = dt.datetime.combine(TODAY, dt.time(), dt.UTC)
RAW = "dlt_market_events"
CHAIN = f"{RAW}*"


def day(ago: int) -> dt.date:
    return TODAY - dt.timedelta(ago)


def days(first: int, last: int) -> list[str]:
    return [str(day(ago)) for ago in range(first, last - 1, -1)]


def events(first: int, last: int, a_day: int = 10) -> list[dict[str, Any]]:
    return [
        event(1000 * ago + n, MIDNIGHT - dt.timedelta(ago) + dt.timedelta(minutes=n))
        for ago in range(last, first + 1)
        for n in range(a_day)
    ]


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(market_url=source.url, market_user="corner")
        yield source


def run(
    recorded: dg.DagsterInstance, first: int, last: int, selection: str = CHAIN, **more: Any
) -> RunOutcome:
    from millpond.definitions import defs

    return materialize(
        selection, Window.of_days(day(first), day(last)), instance=recorded, definitions=defs, **more
    )


def pages(recorded: dg.DagsterInstance, asset: str) -> tuple[list[str], list[str]]:
    """Return the partitions that Dagster's pages show as materialized and as failed."""
    from millpond.definitions import defs

    partitions = defs.resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
    value = get_and_update_asset_status_cache_value(recorded, dg.AssetKey(asset), partitions)
    assert value is not None
    assert partitions is not None
    return (
        sorted(value.deserialize_materialized_partition_subsets(partitions).get_partition_keys()),
        sorted(value.deserialize_failed_partition_subsets(partitions).get_partition_keys()),
    )


def test_a_run_succeeds_for_the_days_within_reach_and_records_no_other(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    server.serve = Events(events(40, 1), server.url)  # 300 rows: all of the thirtieth day, nothing older

    # Nothing within reach: green, nothing on record, nothing built or published.
    outcome = run(recorded, 45, 41)
    assert (outcome.failures, outcome.assets, outcome.success) == ((), (), True)
    assert [found.partition for found in outcome.skipped] == days(45, 41)
    assert "beyond the source's reach" in outcome.skipped[0].message
    assert pages(recorded, RAW) == ([], [])

    # Some within reach: these are loaded, built and published.
    outcome = run(recorded, 32, 28)
    assert (outcome.success, outcome.failures) == (True, ())
    assert [found.partition for found in outcome.skipped] == days(32, 30)
    assert outcome.missing == ()
    for asset in (RAW, "stg_market_events", "fct_market_events"):
        assert pages(recorded, asset) == (days(29, 28), []), asset
    assert all(check.passed for check in outcome.checks), outcome.checks
    assert read.count("main", "raw.market_events") == 20


def test_days_that_hold_rows_keep_them_and_nobody_asks_for_them_again(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    from millpond.definitions import defs

    server.serve = Events(events(40, 31), server.url)
    assert run(recorded, 36, 35, RAW).success
    server.serve = Events(events(40, 1), server.url)
    outcome = run(recorded, 37, 29, f"{RAW}*,+fct_daily_market_metrics")
    assert (outcome.failures, outcome.success) == ((), True)
    assert [found.partition for found in outcome.skipped] == days(37, 30)
    for asset in (RAW, "stg_market_events", "fct_market_events", "fct_daily_market_metrics"):
        assert pages(recorded, asset) == (days(36, 35) + days(29, 29), []), asset
    assert read.count("main", "silver.fct_market_events") == 30
    assert read.count("main", "raw.market_events") == 30

    plan = make_plan(
        RAW, [day(ago) for ago in range(37, 28, -1)], instance=recorded, definitions=defs, ref="main"
    )
    assert not plan.chunks
    states = {str(item.partition): item.state for item in plan.items}
    assert [states[one] for one in days(37, 29)] == [
        State.UNREACHABLE,
        *[State.FRESH] * 2,
        *[State.UNREACHABLE] * 5,
        State.FRESH,
    ]

    found = dg.evaluate_automation_conditions(
        dg.Definitions(assets=[dg.AssetsDefinition(specs=[_late(defs)])]), recorded
    )
    assert sorted(found.get_requested_partitions(dg.AssetKey(RAW))) == days(37, 30)


def _late(defs: dg.Definitions) -> dg.AssetSpec:
    partitions = defs.resolve_asset_graph().get(dg.AssetKey(RAW)).partitions_def
    return dg.AssetSpec(RAW, partitions_def=partitions, automation_condition=BeyondReach())
