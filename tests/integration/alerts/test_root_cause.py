"""An alert of a failed run begins with what failed first, in its own words, not with a consequence of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.routing import Routing
from millpond.errors import InputMissing, SourceRefused
from millpond.partitions import Window
from millpond.runs.run import JOB, materialize
from millpond.settings import settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
WEEK = Window.of_days(dt.date(2026, 10, 1), dt.date(2026, 10, 7))
POLICY = dg.BackfillPolicy.single_run()
REFUSED = SourceRefused("HTTP 401", unharmed="what was loaded before", next_step="check the token")


@pytest.fixture
def told(recorded: dg.DagsterInstance, rows: Any) -> Any:
    """Return a function that runs assets over a week and returns the alert that comes of it."""

    def alert(*assets: dg.AssetsDefinition, checks: Any = ()) -> dict[str, Any]:
        made = dg.Definitions(assets=assets, asset_checks=checks, jobs=[dg.define_asset_job(JOB)])
        materialize("*", WEEK, definitions=made, instance=recorded)
        find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts.of(list(assets)))
        (found,) = rows("select * from alerts order by id desc limit 1")
        return dict(found)

    return alert


def asset(error: BaseException, name: str = "broken", deps: Any = ()) -> dg.AssetsDefinition:
    @dg.asset(name=name, partitions_def=DAYS, backfill_policy=POLICY, deps=deps)
    def broken() -> None:
        raise error

    return broken


def test_an_error_of_ours_is_split_into_cause_unharmed_and_next_step(told: Any) -> None:
    found = told(asset(dg.Failure(str(REFUSED))))
    assert (found["reason"], found["unharmed"]) == ("HTTP 401", "what was loaded before")
    again = 'then run: millpond materialize "broken*" --range 2026-10-01...2026-10-07'
    assert found["next_step"] == f"check the token; {again}"


def test_of_foreign_errors_the_innermost_comes_first(told: Any) -> None:
    outer = RuntimeError("the load failed")
    outer.__cause__ = ValueError("column x is text")
    outer.__cause__.__cause__ = KeyError()
    first, *rest = told(asset(outer))["reason"].splitlines()
    assert first == "ValueError: column x is text"
    assert rest == ["which led to: RuntimeError: the load failed"]


def test_what_waited_for_something_else_comes_after_what_failed(told: Any) -> None:
    missing = asset(dg.Failure(str(InputMissing("model a reads b")), metadata={"error": "InputMissing"}), "a")
    lines = told(missing, asset(RuntimeError("disk full"), "z"))["reason"].splitlines()
    assert lines == ["RuntimeError: disk full", "model a reads b"]


def test_a_blocking_check_is_described_with_its_counts_and_rows(told: Any) -> None:
    @dg.asset(partitions_def=DAYS, backfill_policy=POLICY)
    def fine() -> None: ...

    @dg.asset_check(asset=fine, blocking=True)
    def sound() -> dg.AssetCheckResult:
        rows = dg.MetadataValue.json([{"id": "a", "n": 2}])
        return dg.AssetCheckResult(
            passed=False, description="two rows have one key", metadata={"failures": 1, "samples": rows}
        )

    found = told(fine, checks=[sound])
    assert found["kind"] == "blocking_check_failed"
    assert found["reason"].splitlines() == [
        "check sound of fine failed for 1 row: two rows have one key",
        "  id=a, n=2",
    ]


def by_days(*failures: tuple[str, str, str]) -> dg.Failure:
    listed = [{"days": days, "error": error, "reason": reason} for days, error, reason in failures]
    text = "irrelevant\nUnharmed: the other days\nNext: look at the rows"
    kinds = ", ".join(sorted({error for _, error, _ in failures}))
    return dg.Failure(text, metadata={"error": kinds, "failures": dg.MetadataValue.json(listed)})


def test_failures_of_a_range_are_grouped_by_cause_and_name_days_as_ranges(told: Any) -> None:
    error = by_days(
        ("2026-10-01", "BeyondReach", "2026-10-01: beyond reach"),
        ("2026-10-02...2026-10-03", "TooManyBadRows", "2026-10-02...2026-10-03: 7 of 10 rows are bad"),
        ("2026-10-05", "TooManyBadRows", "2026-10-05: 9 of 10 rows are bad"),
        ("2026-10-06", "NoRows", "2026-10-06: no rows"),
    )
    found = told(asset(error))
    assert found["kind"] == "run_failed"
    assert found["reason"].splitlines() == [
        "2026-10-02...2026-10-03, 2026-10-05: 7 of 10 rows are bad",
        "2026-10-06: no rows",
        "2026-10-01: beyond reach",
    ]
    assert found["unharmed"] == "the other days"
    assert found["title"] == "broken failed for 2026-10-01...2026-10-03, 2026-10-05...2026-10-06"


def test_days_that_the_source_no_longer_serves_are_information(told: Any) -> None:
    found = told(asset(by_days(("2026-10-01...2026-10-05", "BeyondReach", "beyond reach"))))
    assert (found["kind"], found["severity"]) == ("days_unreachable", "info")
    assert found["resolved_at"] is not None


def test_what_is_unharmed_and_to_be_done_is_said_once_with_its_days(told: Any) -> None:
    def held(days: str, option: str, rows: int) -> dict[str, str]:
        kept = f"the {rows} rows loaded before; the new rows are kept on branch held_x"
        step = f"`millpond sources accept broken --{option} {days}` takes the smaller state"
        return {
            "days": days,
            "error": "RowsHeldBack",
            "reason": f"broken, {days}: held back",
            "unharmed": kept,
            "next": step,
        }

    listed = [held("2026-10-03...2026-10-04", "range", 80), held("2026-10-06", "partition", 40)]
    error = dg.Failure("held", metadata={"error": "RowsHeldBack", "failures": dg.MetadataValue.json(listed)})
    found = told(asset(error))
    assert found["unharmed"] == (
        "2026-10-03...2026-10-04: the 80 rows loaded before; 2026-10-06: the 40 rows loaded before;"
        " the new rows are kept on branch held_x"
    )
    assert found["next_step"] == (
        "`millpond sources accept broken --range 2026-10-03...2026-10-04` takes the smaller state"
        ' (the same for 2026-10-06); then run: millpond materialize "broken*" --range'
        ' 2026-10-03...2026-10-04; millpond materialize "broken*" --partition 2026-10-06'
    )
