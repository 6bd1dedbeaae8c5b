"""The queries behind dashboard, report and metrics tell what Dagster recorded, day by day and run by run."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter

import dagster as dg
import pytest
from shop_pipeline import BAD_DAY, FAILED_DAY, FIRST, ROWS
from sqlalchemy import event, text

from millpond.instance.record import connection
from millpond.observability.assets import Asset, Filter
from millpond.observability.checks import read_check_states, read_pass_rates
from millpond.observability.durations import Duration, mark_outliers, read_durations
from millpond.observability.events import find_first_id
from millpond.observability.freshness import Age, evaluate_age
from millpond.observability.health import read_health
from millpond.observability.partitions import DayState, read_days
from millpond.observability.runs import compare_runs, count_runs, list_runs
from millpond.transform.sensitive import HIDDEN

Worked = tuple[dg.DagsterInstance, list[Asset]]
DAY = dt.timedelta(days=1)
DAYS = [FIRST + n * DAY for n in range(-1, 5)]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_assets_know_their_layer_sources_and_ages(worked: Worked) -> None:
    orders, mart = worked[1]
    assert (orders.name, orders.layer, orders.owners, orders.daily) == (
        "dlt_orders",
        "raw",
        ("team:shop",),
        True,
    )
    assert (orders.warn, orders.fail, orders.reach_days) == (dt.timedelta(hours=1), DAY, 30)
    assert mart.sources == {"shop"}, "a model is of the sources that it is made from"
    assert Filter(owners=frozenset({"team:sales"})).select(worked[1]) == [mart]
    assert Filter(sources=frozenset({"shop"}), layers=frozenset({"raw"})).select(worked[1]) == [orders]
    assert Filter().select(worked[1]) == worked[1]


def test_each_day_is_there_quarantined_missing_failed_or_before_the_first(worked: Worked) -> None:
    instance, assets = worked
    found = {each.day: each for each in read_days(instance, assets, DAYS)}
    assert [found[day].state for day in DAYS] == [
        DayState.BEFORE,
        DayState.THERE,
        DayState.QUARANTINED,
        DayState.MISSING,
        DayState.FAILED,
        DayState.THERE,
    ]
    assert (found[BAD_DAY].rows, found[BAD_DAY].quarantined) == (ROWS - 2, 2)
    assert found[BAD_DAY].reasons == {"price is missing": 2}
    failed = found[FAILED_DAY]
    assert failed.error == "the shop is closed"
    assert failed.since is not None
    assert now() - failed.since < dt.timedelta(minutes=5)


def test_an_error_of_an_asset_with_sensitive_columns_is_hidden(worked: Worked) -> None:
    instance, (orders, mart) = worked
    secret = dataclasses.replace(orders, sensitive=frozenset({"price"}))
    health = read_health(instance, [secret, mart], FAILED_DAY, FAILED_DAY, now(), dt.UTC)
    (failed,) = (each.what for each in health.problems if each.kind == "failed")
    assert failed == f"{FAILED_DAY} failed: (hidden, as dlt_orders has sensitive columns; see the run)"
    (state,) = read_check_states(instance, [mart], now() - DAY, {"mrt_orders": frozenset({"row"})})
    assert state.description == HIDDEN, "it names the column"


def test_runs_are_counted_listed_and_compared_with_the_time_before(worked: Worked) -> None:
    instance, _ = worked
    since, until = now() - 30 * DAY, now() + DAY
    of_range, before = compare_runs(instance, since, until)
    assert (of_range.runs, of_range.succeeded, of_range.failed, of_range.active) == (5, 4, 1, 0)
    assert of_range.success_rate == pytest.approx(0.8)
    assert (before.runs, before.success_rate, before.seconds) == (0, None, None)
    counted = Counter(
        {each.status: each.runs for each in count_runs(instance, since, until, "Europe/Berlin")}
    )
    assert counted == {"SUCCESS": 4, "FAILURE": 1}
    runs = list_runs(instance, since, until)
    assert [run.partition for run in runs] == ["", *(str(FIRST + n * DAY) for n in (4, 3, 1, 0))]
    assert [run.failed for run in runs] == [False, False, True, False, False]
    assert len(list_runs(instance, since, until, statuses=["FAILURE"])) == 1
    assert list_runs(instance, since - 9 * DAY, since) == []


def test_durations_are_those_of_runs_and_the_unusual_are_marked(worked: Worked) -> None:
    instance, assets = worked
    found = read_durations(instance, assets, now() - DAY)
    assert sorted((each.asset, each.seconds, each.days) for each in found) == [
        *[("dlt_orders", 0.5, 1)] * 3,
        ("mrt_orders", 0.1, 1),
    ]
    assert read_durations(instance, assets, now() + DAY) == []
    usual = [Duration("a", str(n), now(), 1.0 + n / 100, 1) for n in range(9)]
    slow, many_days = Duration("a", "slow", now(), 9.0, 1), Duration("a", "backfill", now(), 92.0, 92)
    marked = mark_outliers([*usual, slow, many_days])
    assert [each.run for each in marked if each.outlier] == ["slow"], (
        "a backfill of 92 days is not slow by day"
    )
    assert not any(each.outlier for each in mark_outliers([*usual[:3], slow])), (
        "too few to know what is usual"
    )


def test_checks_tell_pass_rate_and_failing_rows_with_sensitive_columns_hidden(worked: Worked) -> None:
    instance, assets = worked
    (rate,) = read_pass_rates(instance, assets, now() - DAY)
    assert (rate.check, rate.passed, rate.failed, rate.rate) == ("no_negative_price", 0, 1, 0)
    (state,) = read_check_states(instance, assets, now() - DAY, {"mrt_orders": frozenset({"customer"})})
    assert (state.asset, state.passed, state.blocking, state.description) == (
        "mrt_orders",
        False,
        False,
        "1 row",
    )
    assert state.samples == [{"price": -1, "customer": "(sensitive)"}]


@pytest.mark.parametrize(
    ("hours", "state"), [(None, Age.NEVER), (0.5, Age.FRESH), (2, Age.WARNING), (30, Age.LATE)]
)
def test_an_asset_is_fresh_nearly_late_or_late_by_its_policy(hours: float | None, state: Age) -> None:
    asset = Asset("a", "raw", warn=dt.timedelta(hours=1), fail=dt.timedelta(hours=24))
    moment = now()
    found = evaluate_age(asset, None if hours is None else moment - dt.timedelta(hours=hours), moment)
    assert found.state == state
    assert found.late_since == (moment - dt.timedelta(hours=6) if state == Age.LATE else None)
    if hours:
        unlimited = evaluate_age(Asset("b", "raw"), moment - dt.timedelta(hours=hours), moment)
        assert unlimited.state == Age.UNLIMITED


def test_health_names_each_problem_with_owner_since_when_and_what_to_do(worked: Worked) -> None:
    instance, assets = worked
    health = read_health(instance, assets, DAYS[0], DAYS[-1], now(), dt.UTC)
    found = {each.kind: each for each in health.problems}
    assert set(found) == {"failed", "missing", "check"}
    assert found["failed"].what == f"{FAILED_DAY} failed: the shop is closed"
    assert found["failed"].owners == ("team:shop",)
    assert found["failed"].next_step == f"`millpond backfill dlt_orders --range {FAILED_DAY}...{FAILED_DAY}`"
    assert found["missing"].what == f"{FIRST + 2 * DAY} missing"
    assert found["check"].what == "check no_negative_price fails"
    assert health.since == min(each.since for each in health.problems if each.since)
    assert [(each.asset.name, each.state) for each in health.statuses] == [
        ("dlt_orders", "failed"),
        ("mrt_orders", "check"),
    ]
    assert (health.rows_latest, health.quarantined) == (ROWS, 2)
    only_sales = [each for each in assets if each.name == "mrt_orders"]
    of_sales = read_health(instance, only_sales, DAYS[0], DAYS[-1], now(), dt.UTC)
    assert [each.kind for each in of_sales.problems] == ["check"], "other teams' problems are not shown"


def test_the_first_event_of_a_moment_is_found_by_its_number(worked: Worked) -> None:
    instance, _ = worked
    with connection(instance) as conn:
        newest = conn.execute(text("select max(id) from event_logs")).scalar_one()
        old = text("update event_logs set timestamp = now() - interval '9 days' where id < :before")
        conn.execute(old, {"before": newest - 20})
        assert find_first_id(conn, "event_logs", now() - 5 * DAY) == newest - 20
        assert find_first_id(conn, "event_logs", now() - 99 * DAY) == 0
        assert find_first_id(conn, "event_logs", now() + DAY) == newest + 1
        conn.rollback()


def test_no_query_reads_the_event_log_without_an_index(worked: Worked) -> None:
    """Where an index can be used at all, Postgres uses it when it may not scan the table."""
    instance, assets = worked
    seen: list[tuple[str, object]] = []
    with connection(instance) as conn:
        engine = conn.engine

    def note(_conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "event_logs" in statement and statement.lstrip().lower().startswith("select"):
            seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        read_health(instance, assets, DAYS[0], DAYS[-1], now(), dt.UTC)
        read_durations(instance, assets, now() - 30 * DAY)
        read_check_states(instance, assets, now() - 30 * DAY)
        read_pass_rates(instance, assets, now() - 30 * DAY)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(seen) > 5
    with connection(instance) as conn:
        conn.exec_driver_sql("set enable_seqscan = off")
        for statement, parameters in seen:
            plan = conn.exec_driver_sql(f"explain {statement}", parameters).scalars().all()
            scans = [line for line in plan if "Seq Scan on event_logs" in line]
            assert not scans, f"{statement}\n{scans}"
        conn.exec_driver_sql("set enable_seqscan = on")
