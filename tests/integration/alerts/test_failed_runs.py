"""A failed run is one alert that names its assets, its days, its owners and the cause."""

import datetime as dt
from typing import Any

import dagster as dg
import pytest
from alerting_assets import (
    DAYS,
    WEEK,
    broken,
    find_new,
    fine,
    loads_all_but,
    open_partitions,
    run,
    sound,
    tried_twice,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG

from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.partitions import Window
from millpond.runs.run import JOB


def test_a_failed_run_is_told_with_asset_partition_error_owner_tag_and_link(
    recorded: dg.DagsterInstance, rows: Any, configure: Any
) -> None:
    configure(slack_webhook="https://hooks.slack.com/services/T0CANARY/B0/verysecret")
    outcome = run(recorded, broken, fine)
    find_new(recorded, Routing(late_after_days=0, quarantine_above=1))
    (told,) = rows("select * from alerts")
    assert told["title"] == "broken failed for 2026-10-01...2026-10-07"
    assert (told["kind"], told["severity"], told["assets"]) == ("run_failed", "error", ["broken"])
    assert (told["owners"], told["tags"]) == (["team:growing"], ["layer=raw"])
    assert told["reason"].startswith("RuntimeError: no ?token=")
    assert "hunter22" not in str(told)
    assert "verysecret" not in str(told)
    assert told["run_url"].endswith(f"/runs/{outcome.run_id}")


@pytest.mark.parametrize("canceled", ["before", "after"])
def test_a_run_beyond_its_maximum_runtime_is_one_failure_of_its_assets_whichever_event_comes_first(
    recorded: dg.DagsterInstance, rows: Any, canceled: str
) -> None:
    job = dg.Definitions([fine], jobs=[dg.define_asset_job(JOB)]).resolve_job_def(JOB)
    hanging = recorded.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags={PARTITION_NAME_TAG: "2026-10-01"}
    )
    recorded.report_run_canceling(hanging, "Canceling due to exceeding maximum runtime of 5 seconds.")
    ends = [
        lambda: recorded.report_run_canceled(hanging),
        lambda: recorded.report_run_failed(hanging, "Exceeded maximum runtime of 5 seconds."),
    ]
    for report in ends if canceled == "before" else reversed(ends):
        report()
        find_new(recorded)
    (told,) = rows("select kind, title, reason, next_step from alerts")
    assert (told["kind"], told["title"]) == ("run_failed", "fine failed for 2026-10-01")
    assert told["reason"] == "Exceeded maximum runtime of 5 seconds. Its process was ended."
    assert "max_runtime_seconds" in told["next_step"]
    assert 'millpond materialize "fine*" --partition 2026-10-01' in told["next_step"]


def test_a_repeated_failure_of_the_same_days_counts_up_and_other_days_are_another_alert(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    for days in (WEEK, WEEK, Window.of_day(dt.date(2026, 10, 9))):
        run(recorded, broken, days=days)
        find_new(recorded)
    found = rows("select partition, times from alerts order by id")
    assert [(row["partition"], row["times"]) for row in found] == [(str(WEEK), 2), ("2026-10-09", 1)]


def test_all_retries_exhausted_is_critical_and_its_own_kind(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, tried_twice)
    find_new(recorded)
    assert rows("select kind, severity from alerts") == [
        {"kind": "retries_exhausted", "severity": "critical"}
    ]


def test_a_blocking_check_that_stopped_a_run_is_named_once(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine, checks=[sound])
    find_new(recorded, Routing(late_after_days=0, quarantine_above=1))
    assert rows("select kind, checks from alerts") == [{"kind": "blocking_check_failed", "checks": ["sound"]}]


def test_an_alert_names_the_days_that_failed_and_is_over_when_each_of_them_is_made(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, loads_all_but(3, 4, 6))
    find_new(recorded)
    (told,) = rows("select title, next_step from alerts")
    assert told == {
        "title": "broken failed for 2026-10-03...2026-10-04, 2026-10-06",
        "next_step": 'fix the cause; then run: millpond materialize "broken*" --range'
        ' 2026-10-03...2026-10-04; millpond materialize "broken*" --partition 2026-10-06',
    }
    run(recorded, loads_all_but(), days=Window.of_day(dt.date(2026, 10, 4)))
    find_new(recorded)
    (told,) = rows("select title, next_step from alerts where resolved_at is null")
    assert told == {
        "title": "broken failed for 2026-10-03, 2026-10-06",
        "next_step": 'fix the cause; then run: millpond materialize "broken*" --partition 2026-10-03;'
        ' millpond materialize "broken*" --partition 2026-10-06',
    }
    for day in (3, 6):
        assert open_partitions(rows)
        run(recorded, loads_all_but(), days=Window.of_day(dt.date(2026, 10, day)))
        find_new(recorded)
    assert not open_partitions(rows)


def test_days_that_fail_again_for_one_cause_are_one_alert_that_counts_and_has_the_days_of_all(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    def days(first: int, last: int) -> Window:
        return Window.of_days(dt.date(2026, 10, first), dt.date(2026, 10, last))

    run(recorded, loads_all_but(3, 4, 6))
    find_new(recorded)
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel, state)"
            " select id, 'tell', 'log', 'delivered' from alerts"
        )
    run(recorded, loads_all_but(6), days=days(6, 6))
    find_new(recorded)
    assert rows("select state from alert_deliveries") == [{"state": "delivered"}]
    run(recorded, loads_all_but(10), days=days(10, 10))
    run(recorded, loads_all_but(4, 6, 7, 9), days=days(3, 9))
    find_new(recorded)
    assert rows("select partition, title, times from alerts where resolved_at is null order by id") == [
        {
            "partition": "2026-10-04, 2026-10-06...2026-10-07, 2026-10-09",
            "title": "broken failed for 2026-10-04, 2026-10-06...2026-10-07, 2026-10-09",
            "times": 3,
        },
        {"partition": "2026-10-10", "title": "broken failed for 2026-10-10", "times": 1},
    ]
    assert rows("select state from alert_deliveries") == [{"state": "pending"}]
    run(recorded, loads_all_but(9, 10), days=days(9, 10))
    find_new(recorded)
    assert open_partitions(rows) == ["2026-10-04, 2026-10-06...2026-10-07, 2026-10-09...2026-10-10"]
    run(recorded, broken, days=days(9, 9))
    find_new(recorded)
    assert len(open_partitions(rows)) == 2
    run(recorded, loads_all_but(), days=days(3, 10))
    find_new(recorded)
    assert not open_partitions(rows)


def test_days_that_a_step_made_before_it_failed_did_not_fail(recorded: dg.DagsterInstance, rows: Any) -> None:
    @dg.asset(name="broken", partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def breaks_off(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization("broken", partition="2026-10-01"))
        raise RuntimeError

    run(recorded, breaks_off)
    find_new(recorded)
    assert open_partitions(rows) == ["2026-10-02...2026-10-07"]


def test_a_failure_on_a_branch_is_a_warning_that_does_not_stay_open(
    recorded: dg.DagsterInstance, rows: Any, configure: Any
) -> None:
    configure(ref="dev")
    run(recorded, broken)
    configure(ref="main")
    find_new(recorded)
    (told,) = rows("select ref, severity, resolved_at is not null as over from alerts")
    assert told == {"ref": "dev", "severity": "warning", "over": True}


def test_a_run_of_one_day_is_named_by_its_day(recorded: dg.DagsterInstance, rows: Any) -> None:
    job = dg.Definitions(assets=[broken], jobs=[dg.define_asset_job(JOB)]).resolve_job_def(JOB)
    job.execute_in_process(
        instance=recorded,
        raise_on_error=False,
        tags={PARTITION_NAME_TAG: "2026-10-02"},
        partition_key="2026-10-02",
    )
    find_new(recorded)
    assert rows("select partition from alerts") == [{"partition": "2026-10-02"}]
