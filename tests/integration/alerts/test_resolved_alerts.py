"""An alert is over when its cause is: not before, and without anybody who closes it."""

import datetime as dt
from typing import Any

import dagster as dg
from alerting_assets import BROKEN, DAYS, WEEK, broken, find_new, fine, run, usual
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from millpond.alerts.commands import close
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.partitions import Window


def test_a_check_that_failed_in_a_green_run_is_told_and_over_once_it_passes(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    quiet = Routing(late_after_days=0, quarantine_above=1)
    run(recorded, fine, checks=[usual])
    find_new(recorded, quiet)
    (told,) = rows("select kind, severity, reason, resolved_at from alerts")
    assert told == {
        "kind": "check_failed",
        "severity": "warning",
        "reason": "check usual of fine failed: few rows",
        "resolved_at": None,
    }
    BROKEN["now"] = False
    run(recorded, fine, checks=[usual], days=Window.of_day(dt.date(2026, 10, 3)))
    find_new(recorded, quiet)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, fine, checks=[usual])
    find_new(recorded, quiet)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_check_nobody_repeats_is_over_after_a_week(recorded: dg.DagsterInstance, rows: Any) -> None:
    quiet = Routing(late_after_days=0, quarantine_above=1)
    run(recorded, fine, checks=[usual])
    find_new(recorded, quiet)
    with outbox() as connection:
        connection.execute("update alerts set last_at = now() - interval '8 days'")
    find_new(recorded, quiet)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_failure_is_over_when_all_its_days_are_made_and_not_before(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    find_new(recorded)
    BROKEN["now"] = False
    run(recorded, broken, days=Window.of_days(WEEK.start, dt.date(2026, 10, 6)))
    find_new(recorded)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, broken, days=Window.of_day(WEEK.last))
    find_new(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")
    BROKEN["now"] = True
    run(recorded, broken)
    find_new(recorded)
    assert len(rows("select 1 from alerts")) == 2


def test_a_failure_is_over_when_its_assets_are_gone(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    find_new(recorded)
    find_new(recorded, known=AssetFacts.of([fine]))
    (over,) = rows("select resolution from alerts where resolved_at is not null")
    assert over["resolution"] == "Its assets no longer exist: they were deleted or renamed."


def test_a_failure_is_over_when_runs_of_all_its_days_succeed_though_some_days_cannot_be_made(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    @dg.asset(name="broken", partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def reaches_two_days(context: dg.AssetExecutionContext) -> Any:
        for day in context.partition_keys[-2:]:
            context.log_event(dg.AssetMaterialization("broken", partition=day))
        return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})

    run(recorded, broken)
    find_new(recorded)
    run(recorded, reaches_two_days, days=Window.of_days(WEEK.start, dt.date(2026, 10, 6)))
    find_new(recorded)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, reaches_two_days)
    find_new(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_an_alert_closed_by_hand_stays_closed_until_it_happens_anew(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    find_new(recorded)
    (found,) = rows("select id from alerts")
    assert close(found["id"], "known", "ada")[1] is True
    assert find_new(recorded) == 0
    run(recorded, broken)
    assert find_new(recorded) == 1
    assert [row["open"] for row in rows("select resolved_at is null as open from alerts order by id")] == [
        False,
        True,
    ]
