"""What later runs, wipes and an empty home change in what the queries tell."""

from __future__ import annotations

import dataclasses
import datetime as dt

import dagster as dg
import pytest
from shop_pipeline import FIRST, ROWS

from millpond.instance.unreachable import skip_days
from millpond.observability.assets import Asset
from millpond.observability.freshness import Age, read_freshness
from millpond.observability.health import read_health
from millpond.observability.partitions import DayState, read_days

Worked = tuple[dg.DagsterInstance, list[Asset]]
DAY = dt.timedelta(days=1)
DAYS = [FIRST + n * DAY for n in range(-1, 5)]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_a_day_that_failed_after_it_was_there_keeps_its_rows_and_a_later_success_heals_it(
    changed: Worked,
) -> None:
    instance, assets = changed

    def run(*, fails: bool) -> None:
        @dg.asset(name="dlt_orders", partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
        def orders() -> dg.MaterializeResult[None]:
            if fails:
                raise dg.Failure("broken", metadata={"error": "broken"})
            return dg.MaterializeResult(metadata={"rows_loaded": 7})

        dg.materialize([orders], partition_key=str(FIRST), instance=instance, raise_on_error=False)

    run(fails=True)
    (broken,) = read_days(instance, assets, [FIRST])
    assert (broken.state, broken.rows, broken.error) == (DayState.FAILED, ROWS, "broken")
    run(fails=False)
    (healed,) = read_days(instance, assets, [FIRST])
    assert (healed.state, healed.rows, healed.error) == (DayState.THERE, 7, "")


def test_what_was_wiped_is_not_there(changed: Worked) -> None:
    instance, assets = changed
    instance.wipe_assets([dg.AssetKey("dlt_orders")])
    assert {each.state for each in read_days(instance, assets, DAYS)} == {DayState.BEFORE}
    assert read_freshness(instance, assets, now())[0].state == Age.NEVER


def test_an_empty_home_has_no_problems_and_no_figures(recorded: dg.DagsterInstance) -> None:
    health = read_health(recorded, [], DAYS[0], DAYS[-1], now(), dt.UTC)
    assert (health.problems, health.statuses, health.rows_latest, health.runs.success_rate) == (
        (),
        (),
        0,
        None,
    )


def test_a_day_that_its_source_serves_no_more_is_unreachable_until_it_is_loaded(changed: Worked) -> None:
    instance, assets = changed
    missing = FIRST + 2 * DAY

    @dg.multi_asset(
        specs=[dg.AssetSpec("dlt_orders", skippable=True)],
        partitions_def=dg.DailyPartitionsDefinition("2024-01-01"),
    )
    def orders(context):  # type: ignore[no-untyped-def]
        yield from skip_days(context, {missing: "the source reaches back 30 days"})

    dg.materialize([orders], partition_key=str(missing), instance=instance)
    assert read_days(instance, assets, [missing])[0].state == DayState.UNREACHABLE

    @dg.asset(name="dlt_orders", partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
    def loaded() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows_loaded": 7})

    dg.materialize([loaded], partition_key=str(missing), instance=instance)
    assert read_days(instance, assets, [missing])[0].state == DayState.THERE


def test_a_day_is_late_once_its_limit_has_passed_until_it_is_written_after_its_end(changed: Worked) -> None:
    instance, assets = changed
    newest = DAYS[-1]
    noon = dt.datetime.combine(newest + 2 * DAY, dt.time(12), dt.UTC)
    states = {
        each.day: each for each in read_days(instance, assets, [newest + n * DAY for n in range(4)], noon)
    }
    assert [states[newest + n * DAY].state for n in range(4)] == [
        DayState.THERE,
        DayState.MISSING,
        DayState.MISSING,
        DayState.MISSING,
    ], "the limit of a day after its end has not passed yet"
    noon += DAY
    late = read_days(instance, assets, [FIRST + 2 * DAY, newest, newest + DAY, newest + 2 * DAY], noon)
    assert [each.state for each in late] == [
        DayState.MISSING,
        DayState.THERE,
        DayState.LATE,
        DayState.MISSING,
    ], "a day before one that is there does not come by itself"
    assert late[2].since == dt.datetime.combine(newest + 3 * DAY, dt.time(), dt.UTC)
    problems = read_health(instance, assets, newest, newest + 2 * DAY, noon, dt.UTC).problems
    found = {each.kind: each.what for each in problems if each.asset == "dlt_orders"}
    assert found == {"late": f"{newest + DAY} late", "missing": f"{newest + 2 * DAY} missing"}
    unlimited = [dataclasses.replace(each, fail=None) for each in assets]
    assert read_days(instance, unlimited, [newest + DAY], noon)[0].state == DayState.MISSING


@pytest.mark.usefixtures("clock")
def test_a_day_that_was_written_before_its_end_only_is_late(recorded: dg.DagsterInstance) -> None:
    today = dt.datetime.now(dt.UTC).date()

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01", end_offset=1))
    def dlt_orders() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows_loaded": 7})

    dg.materialize([dlt_orders], partition_key=str(today), instance=recorded)
    assets = [Asset("dlt_orders", "raw", daily=True, fail=dt.timedelta(hours=6))]
    assert read_days(recorded, assets, [today])[0].state == DayState.THERE
    (late,) = read_days(recorded, assets, [today], now() + 2 * DAY)
    assert (late.state, late.rows) == (DayState.LATE, 7)


def test_partitions_of_another_kind_that_an_asset_had_before_are_no_days(changed: Worked) -> None:
    instance, assets = changed

    @dg.asset(name="dlt_orders", partitions_def=dg.StaticPartitionsDefinition(["2025", "north"]))
    def orders() -> None: ...

    for name in ("2025", "north"):
        dg.materialize([orders], partition_key=name, instance=instance)
    assert read_days(instance, assets, DAYS)[0].state == DayState.BEFORE
