"""A day is the time between two midnights of the configured zone; windows are half-open runs of days."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from millpond.errors import PartitionKeyError
from millpond.partitions import (
    Window,
    check_day,
    check_window,
    contiguous,
    instant,
    latest_complete_day,
    parse_day,
    today,
)

BERLIN, KOLKATA, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")
START = dt.date(2024, 1, 1)
NOON_IN_NOVEMBER = dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC)

days = st.dates(dt.date(2000, 1, 1), dt.date(2049, 12, 31))
zones = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ]
).map(ZoneInfo)
windows = st.builds(
    lambda first, more: Window.of_days(first, first + dt.timedelta(more)), days, st.integers(0, 800)
)


def hours(day: dt.date, zone: ZoneInfo) -> float:
    begin, end = Window.of_day(day).bounds(zone)
    return (end - begin) / dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("day", "zone", "expected"),
    [
        (dt.date(2026, 3, 29), BERLIN, 23),
        (dt.date(2026, 10, 25), BERLIN, 25),
        (dt.date(2026, 3, 8), NEW_YORK, 23),
        (dt.date(2026, 11, 1), NEW_YORK, 25),
        (dt.date(2026, 3, 29), KOLKATA, 24),
        (dt.date(2024, 2, 29), BERLIN, 24),
        (dt.date(2018, 11, 4), ZoneInfo("America/Sao_Paulo"), 23),
    ],
)
def test_a_day_has_as_many_hours_as_its_zone_gives_it(day: dt.date, zone: ZoneInfo, expected: float) -> None:
    assert hours(day, zone) == expected


def test_a_day_in_kolkata_begins_at_half_past_six_in_the_evening_utc() -> None:
    assert instant(dt.date(2026, 11, 1), KOLKATA) == dt.datetime(2026, 10, 31, 18, 30, tzinfo=dt.UTC)


def test_a_leap_year_has_its_day_and_a_common_year_has_not() -> None:
    assert len(Window(dt.date(2024, 2, 28), dt.date(2024, 3, 1))) == 2
    assert parse_day("2024-02-29") == dt.date(2024, 2, 29)
    with pytest.raises(PartitionKeyError):
        parse_day("2026-02-29")


@given(windows, zones)
def test_the_days_of_a_window_add_up_to_it_without_gap_or_overlap(window: Window, zone: ZoneInfo) -> None:
    bounds = [Window.of_day(day).bounds(zone) for day in window.days]
    assert all(end == begin for (_, end), (begin, _) in pairwise(bounds))
    assert (bounds[0][0], bounds[-1][1]) == window.bounds(zone)


@given(st.datetimes(dt.datetime(2000, 1, 2), dt.datetime(2049, 12, 30), timezones=st.just(dt.UTC)), zones)
def test_every_instant_lies_in_exactly_the_day_its_zone_shows(moment: dt.datetime, zone: ZoneInfo) -> None:
    shown = moment.astimezone(zone).date()
    near = Window.of_days(shown - dt.timedelta(2), shown + dt.timedelta(2)).days
    holding = [d for d in near if instant(d, zone) <= moment < instant(d + dt.timedelta(1), zone)]
    assert holding == [shown]


@given(windows, st.integers(1, 100))
def test_chunks_add_up_to_the_window(window: Window, size: int) -> None:
    chunks = list(window.chunks(size))
    assert [day for chunk in chunks for day in chunk.days] == window.days
    assert all(len(chunk) <= size for chunk in chunks)


@given(windows)
def test_a_window_holds_its_days_and_no_other(window: Window) -> None:
    assert len(window) == len(window.days)
    assert all(day in window for day in window.days)
    assert window.end not in window
    assert window.start - dt.timedelta(1) not in window
    assert window.last == window.days[-1]


@given(st.sets(st.dates(dt.date(2026, 1, 1), dt.date(2026, 3, 31))))
def test_contiguous_windows_hold_exactly_the_days_and_never_touch(some: set[dt.date]) -> None:
    found = contiguous(some)
    assert [day for window in found for day in window.days] == sorted(some)
    assert all(a.end < b.start for a, b in pairwise(found))


@given(windows)
def test_a_window_reads_back_from_its_text(window: Window) -> None:
    with time_machine.travel(dt.datetime(2060, 1, 1, tzinfo=dt.UTC), tick=False):
        assert check_window(Window.parse(str(window)), dt.date(2000, 1, 1), BERLIN) == window


def test_a_window_without_a_day_is_refused() -> None:
    with pytest.raises(PartitionKeyError, match="holds no day"):
        Window(START, START)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "2026-13-01",
        "2026-11-31",
        "2026-1-1",
        "20261101",
        "2026-11-01T00:00:00",
        " 2026-11-01",
        "2026-11-01\n",
        "٢٠٢٦-١١-٠١",
        "2026-01-01' OR 1=1--",
        '2026-01-01"; DROP TABLE raw.climate_entries; --',
        "{{ target }}",
        "../../etc/passwd",
        "-2026-11-01",
    ],
)
def test_a_key_that_is_no_day_is_refused(key: str) -> None:
    with pytest.raises(PartitionKeyError, match="is not a partition key") as error:
        parse_day(key)
    assert "2026-11-01" in error.value.next_step


@given(st.text(max_size=40))
def test_no_text_gets_through_that_is_not_a_plain_day(key: str) -> None:
    try:
        day = parse_day(key)
    except PartitionKeyError:
        return
    assert day.isoformat() == key


@given(days)
def test_a_day_reads_back_from_its_key(day: dt.date) -> None:
    assert parse_day(day.isoformat()) == day


def test_a_very_long_key_is_not_repeated_in_full() -> None:
    with pytest.raises(PartitionKeyError) as error:
        parse_day("x" * 100_000)
    assert len(str(error.value)) < 500


@time_machine.travel(NOON_IN_NOVEMBER, tick=False)
def test_a_day_before_the_start_or_in_the_future_is_refused() -> None:
    with pytest.raises(PartitionKeyError, match="before the first partition"):
        check_day(parse_day("2023-12-31"), START, BERLIN)
    with pytest.raises(PartitionKeyError, match="has not begun"):
        check_day(parse_day("2026-11-16"), START, BERLIN)
    assert check_day(parse_day("2024-01-01"), START, BERLIN) == START
    assert check_day(parse_day("2026-11-15"), START, BERLIN) == dt.date(2026, 11, 15)


@time_machine.travel(NOON_IN_NOVEMBER, tick=False)
@pytest.mark.parametrize(
    "text",
    ["2026-11-05...2026-11-01", "2026-11-01...2026-11-30", "2026-11-01..2026-11-03", "...", "2026-11-01...x"],
)
def test_a_range_that_is_backwards_unfinished_or_malformed_is_refused(text: str) -> None:
    with pytest.raises(PartitionKeyError):
        check_window(Window.parse(text), START, BERLIN)


@time_machine.travel(NOON_IN_NOVEMBER, tick=False)
@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2026-11-05...2026-11-01", "write 2026-11-01...2026-11-05"),
        ("2026-11-01..2026-11-03", "write three dots: 2026-11-01...2026-11-03"),
        ("2026-11-01...", "give both days"),
    ],
)
def test_advice_on_a_wrong_range_has_the_days_that_were_typed(text: str, advice: str) -> None:
    with pytest.raises(PartitionKeyError) as error:
        check_window(Window.parse(text), START, BERLIN)
    assert error.value.next_step.startswith(advice)
    assert text in error.value.what


@time_machine.travel(NOON_IN_NOVEMBER, tick=False)
def test_blanks_around_the_days_of_a_range_mean_nothing() -> None:
    found = check_window(Window.parse(" 2026-01-01 ... 2026-01-03"), dt.date(2024, 1, 1), ZoneInfo("UTC"))
    assert str(found) == "2026-01-01...2026-01-03"


def test_a_range_includes_both_its_ends_and_a_single_day_is_one() -> None:
    assert check_window(Window.parse("2026-11-01...2026-11-03"), START, BERLIN) == Window(
        dt.date(2026, 11, 1), dt.date(2026, 11, 4)
    )
    assert check_window(Window.parse("2026-11-01"), START, BERLIN) == Window.of_day(dt.date(2026, 11, 1))


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (ZoneInfo("Pacific/Auckland"), dt.date(2027, 1, 1)),
        (ZoneInfo("America/Los_Angeles"), dt.date(2026, 12, 31)),
    ],
)
def test_today_is_the_day_of_the_zone_also_at_new_year(zone: ZoneInfo, expected: dt.date) -> None:
    with time_machine.travel(dt.datetime(2026, 12, 31, 20, tzinfo=dt.UTC), tick=False):
        assert today(zone) == expected
        assert latest_complete_day(zone) == expected - dt.timedelta(1)


@pytest.mark.parametrize("step", [-2, 2])
def test_a_stepped_clock_moves_today_by_a_day_at_most(step: int) -> None:
    midnight = instant(dt.date(2026, 11, 15), BERLIN)
    with time_machine.travel(midnight + dt.timedelta(hours=step), tick=False):
        assert today(BERLIN) == (midnight + dt.timedelta(hours=step)).astimezone(BERLIN).date()
        assert latest_complete_day(BERLIN) < today(BERLIN)
