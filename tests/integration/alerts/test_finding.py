"""What goes wrong becomes one alert, in time, whoever looks and however often; what is mended ends it."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.storage.tags import PARTITION_NAME_TAG

from millpond.alerts.commands import close
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.alerts.sensors import build_sensors
from millpond.backfill.ledger_access import transaction
from millpond.partitions import Window
from millpond.runs.run import JOB, materialize
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
WEEK = Window.of_days(dt.date(2026, 10, 1), dt.date(2026, 10, 7))
BROKEN = {"now": True}


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    owners=["team:growing"],
    tags={"layer": "raw"},
)
def broken() -> None:
    if BROKEN["now"]:
        raise RuntimeError("no ?token=hunter22hunter22 for /services/T0CANARY/B0/verysecret")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=dg.RetryPolicy(max_retries=1, delay=0),
)
def tried_twice() -> None:
    raise RuntimeError("again")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def fine() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows_in_source": 100, "rows_quarantined": 7})


@dg.asset_check(asset=fine, blocking=True)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


@dg.asset_check(asset=fine)
def usual() -> dg.AssetCheckResult:
    few = BROKEN["now"]
    return dg.AssetCheckResult(passed=not few, severity=dg.AssetCheckSeverity.WARN, description="few rows")


KNOWN = AssetFacts.of([broken, tried_twice, fine])
QUIET = Routing(late_after_days=0)


@pytest.fixture(autouse=True)
def _broken() -> None:
    BROKEN["now"] = True


def look(recorded: dg.DagsterInstance, routing: Routing = QUIET, known: AssetFacts = KNOWN) -> int:
    return find_alerts(recorded, settings(), routing, known)


def run(
    recorded: dg.DagsterInstance, *assets: dg.AssetsDefinition, checks: Any = (), days: Window = WEEK
) -> Any:
    made = dg.Definitions(assets=assets, asset_checks=checks, jobs=[dg.define_asset_job(JOB)])
    return materialize("*", days, definitions=made, instance=recorded)


def test_a_failed_run_is_told_with_asset_partition_error_owner_tag_and_link(
    recorded: dg.DagsterInstance, rows: Any, configure: Any
) -> None:
    configure(slack_webhook="https://hooks.slack.com/services/T0CANARY/B0/verysecret")
    outcome = run(recorded, broken, fine)
    look(recorded, Routing(late_after_days=0, quarantine_above=1))
    (told,) = rows("select * from alerts")
    assert told["title"] == "broken failed for 2026-10-01...2026-10-07"
    assert (told["kind"], told["severity"], told["assets"]) == ("run_failed", "error", ["broken"])
    assert (told["owners"], told["tags"]) == (["team:growing"], ["layer=raw"])
    assert told["reason"].startswith("RuntimeError: no ?token=")
    assert "hunter22" not in str(told)
    assert "verysecret" not in str(told)
    assert told["run_url"].endswith(f"/runs/{outcome.run_id}")


def test_each_failure_is_found_once_however_often_one_looks(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    assert [look(recorded) for _ in range(4)] == [1, 0, 0, 0]
    assert rows("select times from alerts") == [{"times": 1}]


def test_a_repeated_failure_of_the_same_days_counts_up_and_other_days_are_another_alert(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    for days in (WEEK, WEEK, Window.of_day(dt.date(2026, 10, 9))):
        run(recorded, broken, days=days)
        look(recorded)
    found = rows("select partition, times from alerts order by id")
    assert [(row["partition"], row["times"]) for row in found] == [(str(WEEK), 2), ("2026-10-09", 1)]


def test_two_finders_at_once_find_each_failure_once(recorded: dg.DagsterInstance, rows: Any) -> None:
    for day in range(1, 4):
        run(recorded, broken, days=Window.of_day(dt.date(2026, 10, day)))
    threads = [threading.Thread(target=look, args=(recorded,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["times"] for row in rows("select times from alerts")] == [1, 1, 1]


def test_an_event_that_becomes_visible_below_one_that_was_read_is_found(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    look(recorded)
    with databases().dagster.connect() as slow:
        # An event whose id is drawn now and which is committed after later ones were read.
        slow.execute(
            "insert into event_logs (run_id, event, dagster_event_type, timestamp) select run_id, event,"
            " dagster_event_type, timestamp from event_logs where dagster_event_type = 'PIPELINE_FAILURE'"
        )
        run(recorded, tried_twice)
        assert [look(recorded) for _ in range(3)] == [1, 0, 0]
    assert [look(recorded) for _ in range(3)] == [1, 0, 0]
    assert rows("select times from alerts where assets = '{broken}'") == [{"times": 2}]


def test_when_finding_breaks_off_nothing_is_lost(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    with pytest.raises(AttributeError):
        look(recorded, known=AssetFacts(owners=None))  # type: ignore[arg-type]
    assert rows("select 1 from alerts") == []
    assert look(recorded) == 1


def test_all_retries_exhausted_is_critical_and_its_own_kind(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, tried_twice)
    look(recorded)
    assert rows("select kind, severity from alerts") == [
        {"kind": "retries_exhausted", "severity": "critical"}
    ]


def test_a_blocking_check_that_stopped_a_run_is_named_once(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine, checks=[sound])
    look(recorded, Routing(late_after_days=0, quarantine_above=1))
    assert rows("select kind, checks from alerts") == [{"kind": "blocking_check_failed", "checks": ["sound"]}]


def test_a_check_that_failed_in_a_green_run_is_told_and_over_once_it_passes(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    quiet = Routing(late_after_days=0, quarantine_above=1)
    run(recorded, fine, checks=[usual])
    look(recorded, quiet)
    (told,) = rows("select kind, severity, reason, resolved_at from alerts")
    assert told == {
        "kind": "check_failed",
        "severity": "warning",
        "reason": "check usual of fine failed: few rows",
        "resolved_at": None,
    }
    BROKEN["now"] = False
    run(recorded, fine, checks=[usual], days=Window.of_day(dt.date(2026, 10, 3)))
    look(recorded, quiet)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, fine, checks=[usual])
    look(recorded, quiet)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_check_nobody_repeats_is_over_after_a_week(recorded: dg.DagsterInstance, rows: Any) -> None:
    quiet = Routing(late_after_days=0, quarantine_above=1)
    run(recorded, fine, checks=[usual])
    look(recorded, quiet)
    with outbox() as connection:
        connection.execute("update alerts set last_at = now() - interval '8 days'")
    look(recorded, quiet)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_load_with_many_bad_rows_is_told(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine, days=Window.of_day(dt.date(2026, 10, 3)))
    look(recorded)
    (told,) = rows("select kind, title from alerts")
    assert told["title"] == "7 of 100 rows of fine are in quarantine for 2026-10-03"


def test_a_failure_is_over_when_all_its_days_are_made_and_not_before(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    look(recorded)
    BROKEN["now"] = False
    run(recorded, broken, days=Window.of_days(WEEK.start, dt.date(2026, 10, 6)))
    look(recorded)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, broken, days=Window.of_day(WEEK.last))
    look(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")
    BROKEN["now"] = True
    run(recorded, broken)
    look(recorded)
    assert len(rows("select 1 from alerts")) == 2


def test_a_failure_is_over_when_its_assets_are_gone(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    look(recorded)
    look(recorded, known=AssetFacts.of([fine]))
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
    look(recorded)
    run(recorded, reaches_two_days, days=Window.of_days(WEEK.start, dt.date(2026, 10, 6)))
    look(recorded)
    assert rows("select 1 from alerts where resolved_at is null")
    run(recorded, reaches_two_days)
    look(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")


def loads_but(*failing: int) -> dg.AssetsDefinition:
    """Return an asset that loads all days of October that it is asked for, but for some, which it names."""

    @dg.asset(name="broken", partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def loads(context: dg.AssetExecutionContext) -> Any:
        held = [f"2026-10-{day:02}" for day in failing if f"2026-10-{day:02}" in context.partition_keys]
        for day in context.partition_keys:
            if day not in held:
                context.log_event(dg.AssetMaterialization("broken", partition=day))
        if held:
            named = [{"days": day, "error": "RowsHeldBack", "reason": f"{day}: held back"} for day in held]
            text = dg.MetadataValue.json(named)
            raise dg.Failure("held back", metadata={"error": "RowsHeldBack", "failures": text})
        return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})

    return loads


def named(rows: Any) -> list[str]:
    return [row["partition"] for row in rows("select partition from alerts where resolved_at is null")]


def test_an_alert_names_the_days_that_failed_and_is_over_when_each_of_them_is_made(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, loads_but(3, 4, 6))
    look(recorded)
    (told,) = rows("select title, next_step from alerts")
    assert told == {
        "title": "broken failed for 2026-10-03...2026-10-04, 2026-10-06",
        "next_step": 'fix the cause; then run: millpond materialize "broken*" --range'
        ' 2026-10-03...2026-10-04; millpond materialize "broken*" --partition 2026-10-06',
    }
    run(recorded, loads_but(), days=Window.of_day(dt.date(2026, 10, 4)))
    look(recorded)
    (told,) = rows("select title, next_step from alerts where resolved_at is null")
    assert told == {
        "title": "broken failed for 2026-10-03, 2026-10-06",
        "next_step": 'fix the cause; then run: millpond materialize "broken*" --partition 2026-10-03;'
        ' millpond materialize "broken*" --partition 2026-10-06',
    }
    for day in (3, 6):
        assert named(rows)
        run(recorded, loads_but(), days=Window.of_day(dt.date(2026, 10, day)))
        look(recorded)
    assert not named(rows)


def test_days_that_fail_again_for_one_cause_are_one_alert_that_counts_and_has_the_days_of_all(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    def days(first: int, last: int) -> Window:
        return Window.of_days(dt.date(2026, 10, first), dt.date(2026, 10, last))

    run(recorded, loads_but(3, 4, 6))
    look(recorded)
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel, state)"
            " select id, 'tell', 'log', 'delivered' from alerts"
        )
    run(recorded, loads_but(6), days=days(6, 6))
    look(recorded)
    assert rows("select state from alert_deliveries") == [{"state": "delivered"}]
    run(recorded, loads_but(10), days=days(10, 10))
    run(recorded, loads_but(4, 6, 7, 9), days=days(3, 9))
    look(recorded)
    assert rows("select partition, title, times from alerts where resolved_at is null order by id") == [
        {
            "partition": "2026-10-04, 2026-10-06...2026-10-07, 2026-10-09",
            "title": "broken failed for 2026-10-04, 2026-10-06...2026-10-07, 2026-10-09",
            "times": 3,
        },
        {"partition": "2026-10-10", "title": "broken failed for 2026-10-10", "times": 1},
    ]
    assert rows("select state from alert_deliveries") == [{"state": "pending"}]
    run(recorded, loads_but(9, 10), days=days(9, 10))
    look(recorded)
    assert named(rows) == ["2026-10-04, 2026-10-06...2026-10-07, 2026-10-09...2026-10-10"]
    run(recorded, broken, days=days(9, 9))
    look(recorded)
    assert len(named(rows)) == 2
    run(recorded, loads_but(), days=days(3, 10))
    look(recorded)
    assert not named(rows)


def test_days_that_a_step_made_before_it_failed_did_not_fail(recorded: dg.DagsterInstance, rows: Any) -> None:
    @dg.asset(name="broken", partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def breaks_off(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization("broken", partition="2026-10-01"))
        raise RuntimeError

    run(recorded, breaks_off)
    look(recorded)
    assert named(rows) == ["2026-10-02...2026-10-07"]


def test_an_alert_closed_by_hand_stays_closed_until_it_happens_anew(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    look(recorded)
    (found,) = rows("select id from alerts")
    assert close(found["id"], "known", "ada")[1] is True
    assert look(recorded) == 0
    run(recorded, broken)
    assert look(recorded) == 1
    assert [row["open"] for row in rows("select resolved_at is null as open from alerts order by id")] == [
        False,
        True,
    ]


def test_a_failure_on_a_branch_is_a_warning_that_does_not_stay_open(
    recorded: dg.DagsterInstance, rows: Any, configure: Any
) -> None:
    configure(ref="dev")
    run(recorded, broken)
    configure(ref="main")
    look(recorded)
    (told,) = rows("select ref, severity, resolved_at is not null as over from alerts")
    assert told == {"ref": "dev", "severity": "warning", "over": True}


def test_a_day_is_late_whatever_else_was_made_and_also_if_the_asset_never_was(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    due = AssetFacts(
        daily=frozenset({"fine", "never"}), due={n: dt.timedelta(hours=1) for n in ("fine", "never")}
    )
    routing = Routing(late_after_days=2, quarantine_above=1)
    run(recorded, fine, days=Window.of_day(dt.date(2026, 1, 1)))
    look(recorded, routing, due)
    days = {row["partition"] for row in rows("select partition from alerts")}
    assert len(rows("select 1 from alerts where kind = 'partition_late'")) == 4
    assert "2026-01-01" not in days
    day = dt.date.fromisoformat(max(days))
    run(recorded, fine, days=Window.of_day(day))
    look(recorded, routing, due)
    (over,) = rows("select assets, partition from alerts where resolved_at is not null")
    assert over == {"assets": ["fine"], "partition": str(day)}


def test_a_failing_sensor_is_told_once_and_over_when_its_tick_succeeds(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import TickData, TickStatus
    from dagster_shared.error import SerializableErrorInfo

    def tick(status: TickStatus) -> None:
        error = (
            SerializableErrorInfo("RuntimeError: no file", [], None) if status == TickStatus.FAILURE else None
        )
        recorded.create_tick(
            TickData(
                "origin", "files", InstigatorType.SENSOR, status, 1.0, error=error, selector_id="selector"
            )
        )

    for status in (TickStatus.FAILURE, TickStatus.FAILURE):
        tick(status)
        look(recorded)
    (told,) = rows("select title, reason, times, resolved_at from alerts")
    assert told == {
        "title": "sensor files fails",
        "reason": "RuntimeError: no file",
        "times": 2,
        "resolved_at": None,
    }
    tick(TickStatus.SKIPPED)
    look(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_finished_backfill_is_told_once_and_its_ledger_may_be_missing(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    now = dt.datetime.now(dt.UTC).timestamp()
    recorded.add_backfill(
        PartitionBackfill(
            "abcdefgh",
            status=BulkActionStatus.COMPLETED_FAILED,
            from_failure=False,
            tags={},
            backfill_timestamp=now,
            backfill_end_timestamp=now,
            asset_selection=[dg.AssetKey("fine")],
        )
    )
    assert [look(recorded), look(recorded)] == [1, 0]
    (told,) = rows("select kind, severity, title from alerts")
    assert told == {
        "kind": "backfill_finished",
        "severity": "warning",
        "title": "backfill abcdefgh: failed",
    }


@pytest.fixture
def ledger_row(home: Home) -> Callable[[str], None]:
    """Return a function that writes a backfill of two days into the ledger, its end as SQL."""

    def write(end: str) -> None:
        def written(connection: Any) -> None:
            connection.execute(
                "insert into backfills (id, selection, ref, first_day, last_day, options, code, skipped,"
                " host, pid, pid_started, seconds, state, heartbeat, ended) values ('b1', 'fine*', 'main',"
                f" '2026-10-01', '2026-10-02', '{{}}', 'c', 0, 'h', 1, 1, 12, {end})"
            )
            connection.execute(
                "insert into backfill_partitions (backfill, asset, day, state) values"
                " ('b1', 'fine', '2026-10-01', 'done'), ('b1', 'fine', '2026-10-02', 'failed')"
            )

        transaction(written)

    return write


def test_a_backfill_that_died_without_a_word_is_told_and_again_when_it_was_resumed(
    recorded: dg.DagsterInstance, rows: Any, ledger_row: Callable[[str], None]
) -> None:
    ledger_row("'running', now() - interval '2 minutes', null")
    assert [look(recorded), look(recorded)] == [1, 0]
    (told,) = rows("select severity, title, reason from alerts")
    assert told["title"] == "backfill of fine* for 2026-10-01...2026-10-02: its process died"
    assert (told["severity"], "millpond backfill --resume b1" in told["reason"]) == ("warning", True)
    transaction(lambda c: c.execute("update backfills set heartbeat = now()"))
    assert look(recorded) == 0
    transaction(lambda c: c.execute("update backfills set state = 'done', ended = now()"))
    assert look(recorded) == 1


def test_a_backfill_of_the_ledger_is_told_with_its_tally(
    recorded: dg.DagsterInstance, rows: Any, ledger_row: Callable[[str], None]
) -> None:
    ledger_row("'failed', now(), now()")
    assert [look(recorded), look(recorded)] == [1, 0]
    (told,) = rows("select severity, title, reason from alerts")
    assert told["title"] == "backfill of fine* for 2026-10-01...2026-10-02: failed"
    assert (told["severity"], "1 failed" in told["reason"]) == ("warning", True)


def test_the_summary_comes_once_a_day(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine)
    routing = Routing(late_after_days=0, quarantine_above=1, summary_at="00:00")
    assert [look(recorded, routing), look(recorded, routing)] == [1, 0]
    (told,) = rows("select title, reason from alerts")
    assert told["title"] == "last 24 hours: 1 runs succeeded, 0 failed"
    assert told["reason"].startswith("7 partitions of 1 assets")


def test_the_sensor_only_looks_and_says_what_it_found(recorded: dg.DagsterInstance, routes: Any) -> None:
    routes("late_after_days: 0")
    (sensor,) = build_sensors([broken], [])
    run(recorded, broken)
    said = []
    for _ in range(2):
        with dg.build_sensor_context(recorded, definitions=dg.Definitions()) as context:
            said.append(sensor.evaluate_tick(context).skip_message)
    assert said == ["1 new alerts", "nothing new"]


def test_a_run_of_one_day_is_named_by_its_day(recorded: dg.DagsterInstance, rows: Any) -> None:
    job = dg.Definitions(assets=[broken], jobs=[dg.define_asset_job(JOB)]).resolve_job_def(JOB)
    job.execute_in_process(
        instance=recorded,
        raise_on_error=False,
        tags={PARTITION_NAME_TAG: "2026-10-02"},
        partition_key="2026-10-02",
    )
    look(recorded)
    assert rows("select partition from alerts") == [{"partition": "2026-10-02"}]
