"""What later runs, wipes and an empty home change in what the queries tell."""

from __future__ import annotations

import datetime as dt

import dagster as dg
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
