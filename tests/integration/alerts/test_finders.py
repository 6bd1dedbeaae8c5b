"""Each failure, check, tick and late day is found once, however often and by whomever it is looked for."""

import datetime as dt
import threading
from typing import Any

import dagster as dg
import pytest
from alerting_assets import broken, find_new, fine, run, tried_twice

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.routing import Routing
from millpond.alerts.sensors import build_sensors
from millpond.partitions import Window
from millpond.runtime.databases import databases


def test_each_failure_is_found_once_however_often_one_looks(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    assert [find_new(recorded) for _ in range(4)] == [1, 0, 0, 0]
    assert rows("select times from alerts") == [{"times": 1}]


def test_two_finders_at_once_find_each_failure_once(recorded: dg.DagsterInstance, rows: Any) -> None:
    for day in range(1, 4):
        run(recorded, broken, days=Window.of_day(dt.date(2026, 10, day)))
    threads = [threading.Thread(target=find_new, args=(recorded,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["times"] for row in rows("select times from alerts")] == [1, 1, 1]


def test_an_event_that_becomes_visible_below_one_that_was_read_is_found(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    run(recorded, broken)
    find_new(recorded)
    with databases().dagster.connect() as slow:
        # An event whose id is drawn now and which is committed after later ones were read.
        slow.execute(
            "insert into event_logs (run_id, event, dagster_event_type, timestamp) select run_id, event,"
            " dagster_event_type, timestamp from event_logs where dagster_event_type = 'PIPELINE_FAILURE'"
        )
        run(recorded, tried_twice)
        assert [find_new(recorded) for _ in range(3)] == [1, 0, 0]
    assert [find_new(recorded) for _ in range(3)] == [1, 0, 0]
    assert rows("select times from alerts where assets = '{broken}'") == [{"times": 2}]


def test_when_finding_breaks_off_nothing_is_lost(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, broken)
    with pytest.raises(AttributeError):
        find_new(recorded, known=AssetFacts(owners=None))  # type: ignore[arg-type]
    assert rows("select 1 from alerts") == []
    assert find_new(recorded) == 1


def test_a_load_with_many_bad_rows_is_told(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine, days=Window.of_day(dt.date(2026, 10, 3)))
    find_new(recorded)
    (told,) = rows("select kind, title from alerts")
    assert told["title"] == "7 of 100 rows of fine were quarantined for 2026-10-03"


def test_a_day_is_late_whatever_else_was_made_and_also_if_the_asset_never_was(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    due = AssetFacts(
        daily=frozenset({"fine", "never"}), due={n: dt.timedelta(hours=1) for n in ("fine", "never")}
    )
    routing = Routing(late_after_days=2, quarantine_above=1)
    run(recorded, fine, days=Window.of_day(dt.date(2026, 1, 1)))
    find_new(recorded, routing, due)
    days = {row["partition"] for row in rows("select partition from alerts")}
    assert len(rows("select 1 from alerts where kind = 'partition_late'")) == 4
    assert "2026-01-01" not in days
    day = dt.date.fromisoformat(max(days))
    run(recorded, fine, days=Window.of_day(day))
    find_new(recorded, routing, due)
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
        find_new(recorded)
    (told,) = rows("select title, reason, times, resolved_at from alerts")
    assert told == {
        "title": "sensor files failed",
        "reason": "RuntimeError: no file",
        "times": 2,
        "resolved_at": None,
    }
    tick(TickStatus.SKIPPED)
    find_new(recorded)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_the_summary_comes_once_a_day(recorded: dg.DagsterInstance, rows: Any) -> None:
    run(recorded, fine)
    routing = Routing(late_after_days=0, quarantine_above=1, summary_at="00:00")
    assert [find_new(recorded, routing), find_new(recorded, routing)] == [1, 0]
    (told,) = rows("select title, reason from alerts")
    assert told["title"] == "last 24 hours: 1 run succeeded, 0 failed"
    assert told["reason"].startswith("7 partitions of 1 asset")


def test_the_sensor_only_looks_and_says_what_it_found(recorded: dg.DagsterInstance, routes: Any) -> None:
    routes("late_after_days: 0")
    (sensor,) = build_sensors([broken], [])
    run(recorded, broken)
    said = []
    for _ in range(2):
        with dg.build_sensor_context(recorded, definitions=dg.Definitions()) as context:
            said.append(sensor.evaluate_tick(context).skip_message)
    assert said == ["1 new alerts", "nothing new"]
