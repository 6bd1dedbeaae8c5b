"""What checks make of counts: when they pass, when they fail, what they show."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from millpond.ingestion.expectations import Volume
from millpond.partitions import Window
from millpond.quality.measures import (
    Loaded,
    check_latest,
    check_volume,
    find_expected_day,
    measure_coverage,
    reconcile,
)

DAY = dt.date(2026, 10, 15)
WEEK = Window.of_days(DAY, DAY + dt.timedelta(days=6))
FINE = Loaded(10, 7, 1, 1, 1)


def days_before(rows: int, days: int = 28) -> dict[dt.date, int]:
    return {DAY - dt.timedelta(days=n): rows for n in range(1, days + 1)}


def test_days_that_add_up_are_reconciled() -> None:
    found = reconcile(WEEK, {DAY: FINE}, {DAY: 7}, {DAY: 1})
    assert found.passed
    assert found.numbers["days_checked"] == 1
    assert found.numbers["days_not_loaded"] == 6
    assert found.numbers["rows_in_source"] == 10


@pytest.mark.parametrize(
    ("load", "raw", "quarantined"),
    [(FINE, 6, 1), (FINE, 8, 1), (FINE, 7, 0), (Loaded(11, 7, 1, 1, 1), 7, 1), (Loaded(9, 7, 1, 1, 1), 7, 1)],
    ids=["lost in the lake", "too many in the lake", "quarantine lost", "unaccounted", "from nowhere"],
)
def test_a_single_row_too_few_or_too_many_is_found(load: Loaded, raw: int, quarantined: int) -> None:
    found = reconcile(WEEK, {DAY: load}, {DAY: raw}, {DAY: quarantined})
    assert not found.passed
    assert [sample["partition"] for sample in found.samples] == [DAY]
    assert str(DAY) in found.summary


def test_at_most_twenty_days_are_shown() -> None:
    window = Window(DAY, DAY + dt.timedelta(days=50))
    found = reconcile(window, dict.fromkeys(window.days, FINE), {}, {})
    assert found.numbers["days_wrong"] == 50
    assert len(found.samples) == 20


@pytest.mark.parametrize(("rows", "passed"), [(49, False), (50, True), (200, True), (201, False), (0, False)])
def test_volume_is_judged_by_the_median_of_the_days_before(rows: int, passed: bool) -> None:
    history = days_before(100) | {DAY - dt.timedelta(days=1): 10_000}
    found = check_volume([DAY], {**history, DAY: rows}, Volume())
    assert found.passed is passed
    assert found.numbers["last_median"] == 100
    assert found.numbers["at_least_share"] == 0.5


def test_volume_without_enough_history_passes_and_says_so() -> None:
    found = check_volume([DAY], {**days_before(100, 6), DAY: 1}, Volume())
    assert found.passed
    assert found.summary.startswith("skipped")
    assert found.numbers["days_without_history"] == 1


def test_days_of_a_range_are_history_of_those_after_them() -> None:
    rows = days_before(100, 7) | dict.fromkeys(WEEK.days, 100) | {WEEK.last: 1}
    found = check_volume(WEEK.days, rows, Volume(history_days=7))
    assert found.numbers["days_judged"] == 7
    assert [sample["partition"] for sample in found.samples] == [WEEK.last]


def test_a_volume_without_upper_bound_lets_much_pass() -> None:
    assert check_volume([DAY], {**days_before(1), DAY: 1_000}, Volume(at_most=None)).passed


def test_the_latest_expected_day_must_be_there() -> None:
    assert check_latest(DAY, DAY, {DAY}).passed
    missing = check_latest(DAY, DAY, {DAY - dt.timedelta(days=1)})
    assert not missing.passed
    assert missing.numbers == {"expected": str(DAY), "newest": "2026-10-14"}
    assert check_latest(DAY, DAY + dt.timedelta(days=1), set()).passed


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-25T00:30:00+02:00", "2026-10-23"),
        ("2026-10-25T02:30:00+01:00", "2026-10-24"),
        ("2026-10-26T01:59:00+01:00", "2026-10-24"),
        ("2026-10-26T02:00:00+01:00", "2026-10-25"),
    ],
)
def test_a_day_is_expected_some_time_after_its_end_in_the_configured_zone(now: str, expected: str) -> None:
    found = find_expected_day(
        dt.datetime.fromisoformat(now), dt.timedelta(hours=2), ZoneInfo("Europe/Berlin")
    )
    assert str(found) == expected


def test_coverage_is_reported_and_never_fails() -> None:
    found = measure_coverage(WEEK.days[:2], {DAY: 144}, 288)
    assert found.passed
    assert found.numbers["coverage_pct"] == 25.0
    assert found.numbers["days_without_rows"] == 1
    assert found.samples[0]["coverage_pct"] == 0.0


def test_coverage_of_no_complete_day_is_unknown() -> None:
    assert measure_coverage([], {}, 288).numbers["coverage_pct"] is None
