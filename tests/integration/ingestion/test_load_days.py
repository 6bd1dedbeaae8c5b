"""Loading days: a partition equals the source, whatever was there before and however days are asked for."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fake_source import DAY, Answer, Entries, FakeSource, Request, reading
from millpond.errors import NoRows, TooManyBadRows
from millpond.ingestion.left_out import leave_out
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.partitions import Window
from millpond.settings import Settings
from source_tables import load_days, quarantined, raw, table_of

NEXT = DAY + dt.timedelta(1)
LAST = DAY + dt.timedelta(4)


def days(*numbers: int) -> list[dt.date]:
    return [DAY + dt.timedelta(n) for n in numbers]


def counts(result: LoadResult) -> list[tuple[int, int, int, int, int]]:
    return [
        (p.rows_in_source, p.rows_loaded, p.rows_quarantined, p.duplicates_dropped, p.rows_outside_window)
        for p in result.partitions
    ]


def some_days() -> list[dict[str, Any]]:
    """Five days with duplicates, bad rows, late corrections, and one day without anything."""
    rows: list[dict[str, Any]] = []
    for number, day in enumerate(days(0, 1, 2, 4)):
        rows += [reading(n, day) for n in range(20 + number)]
        rows += [reading(3, day), reading(5, day, lux=7, sysTime="2030-01-01T00:00:00Z")]
        rows += [reading(50, day, lux="LOW"), reading(51, day, type="tmp", tmp=90, lux=...)]
    return rows


def test_a_day_is_loaded_typed_and_with_its_lineage(server: FakeSource) -> None:
    server.serve = Entries([reading(0, lux=123), reading(1, lux=124, extraField={"a": [1]})])
    assert counts(load_days(DAY)) == [(2, 2, 0, 0, 0)]
    first, second = raw()
    assert (first["_id"], first["lux"], first["direction"]) == ("20261101-0000", 123, "Flat")
    assert (first["_partition_date"], first["_run_id"]) == (DAY, "test")
    assert (first["extra_field"], second["extra_field"]) == (None, '{"a":[1]}')


def test_every_row_of_the_source_is_accounted_for(server: FakeSource) -> None:
    server.serve = Entries(some_days())
    result = load_days(DAY, LAST)
    for p in result.partitions:
        assert (
            p.rows_in_source
            == p.rows_loaded + p.rows_quarantined + p.duplicates_dropped + p.rows_outside_window
        )
    assert counts(result)[:2] == [(24, 21, 1, 2, 0), (25, 22, 1, 2, 0)]
    assert counts(result)[3] == (0, 0, 0, 0, 0)
    assert sum(p.rows_in_source for p in result.partitions) == len(some_days())


def test_a_range_is_the_sum_of_its_days(server: FakeSource) -> None:
    server.serve = Entries(some_days(), cap=7)
    singly = [p for day in days(0, 1, 2, 3, 4) for p in load_days(day).partitions]
    rows, bad = raw(), quarantined()
    at_once = load_days(DAY, LAST).partitions
    assert [(p.partition, p.content_hash) for p in at_once] == [(p.partition, p.content_hash) for p in singly]
    without_time = [{k: v for k, v in row.items() if k != "_loaded_at"} for row in raw()]
    assert without_time == [{k: v for k, v in row.items() if k != "_loaded_at"} for row in rows]
    assert len(quarantined()) == len(bad) == 4


def test_a_window_too_large_for_memory_goes_through_files_and_is_the_same(
    server: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve = Entries(some_days())
    in_memory = load_days(DAY, LAST)
    rows = raw()
    monkeypatch.setattr("millpond.ingestion.validated_rows.ROWS_IN_MEMORY", 0)
    through_files = load_days(DAY, LAST)
    assert [p.content_hash for p in through_files.partitions] == [
        p.content_hash for p in in_memory.partitions
    ]
    server.serve = Entries([*some_days()[::-1], reading(200, LAST)])
    load_days(DAY, LAST)
    assert len(raw()) == len(rows) + 1
    assert len(quarantined()) == 4


def test_a_second_load_of_the_same_rows_commits_nothing(server: FakeSource) -> None:
    server.serve = Entries(some_days())
    first, second = load_days(DAY, LAST), load_days(DAY, LAST)
    assert [p.snapshot_id for p in first.partitions] == [p.snapshot_id for p in second.partitions]
    assert [p.content_hash for p in first.partitions] == [p.content_hash for p in second.partitions]


def test_a_day_that_became_empty_is_empty_if_it_may_be_and_its_neighbours_stay(
    server: FakeSource,
) -> None:
    rows = [reading(n, day) for day in days(0, 1, 2) for n in range(3)] + [reading(9, NEXT, lux="LOW")]
    server.serve = Entries(rows)
    load_days(DAY, days(2)[0], quarantine=_strictness(1.0))
    server.serve = Entries([row for row in rows if not row["_id"].startswith("20261102")])
    assert list(load_days(NEXT).failed) == [NEXT]
    assert counts(load_days(NEXT, shrink=_shrinking())) == [(0, 0, 0, 0, 0)]
    assert set(raw("_partition_date")) == {DAY, days(2)[0]}
    assert quarantined() == []


def test_a_day_may_not_be_empty_where_the_spec_says_so(server: FakeSource) -> None:
    server.serve = Entries([reading(0)])
    load_days(DAY)
    server.serve = Entries([])
    result = load_days(DAY, allow_empty=False)
    assert isinstance(result.failed[DAY], NoRows)
    assert len(raw()) == 1


def test_a_later_version_of_a_row_wins(server: FakeSource) -> None:
    old, new = (
        reading(0, lux=90, sysTime="2026-11-01T00:01:00Z"),
        reading(0, lux=95, sysTime="2026-11-01T09:00:00Z"),
    )
    for rows in ([old, new], [new, old]):
        server.serve = Entries(rows)
        assert counts(load_days(DAY)) == [(2, 1, 0, 1, 0)]
        assert raw("lux") == [95]


def test_exact_copies_are_dropped_and_counted_not_quarantined(server: FakeSource) -> None:
    server.serve = Entries([reading(0)] * 4 + [reading(1, lux="LOW")] * 2 + [reading(n) for n in range(2, 9)])
    assert counts(load_days(DAY)) == [(13, 8, 1, 4, 0)]


def test_a_row_whose_time_is_corrected_across_midnight_is_on_both_days_until_they_are_loaded_together(
    server: FakeSource,
) -> None:
    server.serve = Entries([reading(287), reading(1), reading(1, NEXT)])
    load_days(DAY, NEXT)
    moved = reading(0, NEXT, _id=reading(287)["_id"])
    server.serve = Entries([reading(1), reading(1, NEXT), moved])
    load_days(NEXT)
    assert raw("_id").count(moved["_id"]) == 2
    load_days(DAY, NEXT)  # as each morning's look-back does
    assert [row["_partition_date"] for row in raw() if row["_id"] == moved["_id"]] == [NEXT]


def test_of_two_rows_with_one_key_and_version_the_one_served_last_wins_and_the_other_is_counted(
    server: FakeSource,
) -> None:
    first, second = reading(0, lux=90, sysTime="2026"), reading(0, lux=95, sysTime="2026")
    for rows, expected in (([first, second], 95), ([second, first], 90)):
        server.serve = Entries(rows)
        assert counts(load_days(DAY)) == [(2, 1, 0, 1, 0)]
        assert raw("lux") == [expected]


def test_of_a_name_that_a_row_has_twice_the_last_value_counts_for_paging_and_contract(
    server: FakeSource,
) -> None:
    plain = json.dumps(reading(0, actor={"a": 1}))
    twice = plain[:-1] + f', "lux": 200, "date": {reading(1)["date"]}, "new": {{"b": 1, "b": 2}}, "new2": 3}}'
    other = json.dumps(reading(2)).replace('"test"', '"te\\u0022st", "delta": 1.5')
    server.serve = lambda _: Answer(f"[{twice}, {other}]".encode())
    assert counts(load_days(DAY)) == [(2, 2, 0, 0, 0)]
    first, second = raw()
    assert (first["lux"], first["date"], first["new"]) == (200, reading(1)["date"], '{"b":2}')
    assert (second["device"], second["delta"]) == ('te"st', "1.5")


def test_rows_outside_of_what_was_asked_are_dropped_and_counted(server: FakeSource) -> None:
    everything = Entries([])
    everything.rows = [reading(0, DAY - dt.timedelta(1)), reading(0), reading(0, NEXT), reading(287)]
    server.serve = lambda request: everything(type(request)(request.path, {"count": "1000"}, {}))
    assert counts(load_days(DAY)) == [(4, 2, 0, 0, 2)]
    assert set(raw("_partition_date")) == {DAY}


def test_a_day_with_too_many_bad_rows_is_kept_as_it_was_and_the_others_load(server: FakeSource) -> None:
    good = [reading(n, day) for day in days(0, 1, 2) for n in range(10)]
    server.serve = Entries(good)
    load_days(DAY, days(2)[0])
    spoiled = [
        r | {"lux": "LOW"} if r["_id"] in {f"20261102-000{n}" for n in range(6)} else r | {"lux": 200}
        for r in good
    ]
    server.serve = Entries(spoiled)
    result = load_days(DAY, days(2)[0])
    error = result.failed[NEXT]
    assert isinstance(error, TooManyBadRows)
    assert "dlt_climate_entries, 2026-11-02: 6 of 10 rows" in error.what
    assert "lux is no whole number (6)" in error.what
    assert [p.partition for p in result.partitions] == days(0, 2)
    by_day = {day: {r["lux"] == 200 for r in raw() if r["_partition_date"] == day} for day in days(0, 1, 2)}
    assert by_day == {DAY: {True}, NEXT: {False}, days(2)[0]: {True}}
    assert quarantined() == []


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", dt.date(2026, 3, 29), 23),
        ("Europe/Berlin", dt.date(2026, 10, 25), 25),
        pytest.param("Asia/Kolkata", dt.date(2024, 2, 29), 24, marks=pytest.mark.slow),
        pytest.param("America/New_York", dt.date(2025, 12, 31), 24, marks=pytest.mark.slow),
    ],
)
def test_a_day_has_the_hours_of_its_zone_and_meets_its_neighbours(
    server: FakeSource, configure: Callable[..., Settings], zone: str, day: dt.date, hours: int
) -> None:
    configure(timezone=zone)
    quarter_hours = [reading(3 * n, day - dt.timedelta(1)) for n in range(4 * 24 * 3)]
    server.serve = Entries(quarter_hours)
    singly = [load_days(day + dt.timedelta(n)).partitions[0] for n in (-1, 0, 1)]
    assert singly[1].rows_loaded == 4 * hours
    at_once = load_days(day - dt.timedelta(1), day + dt.timedelta(1)).partitions
    assert [p.content_hash for p in at_once] == [p.content_hash for p in singly]
    assert len(raw()) == sum(p.rows_loaded for p in singly)


def test_the_streams_of_a_window_are_as_many_as_the_polite_limit_and_never_more(server: FakeSource) -> None:
    meeting, at_once, most, lock = threading.Barrier(3), 0, 0, threading.Lock()
    inner = Entries([reading(n, day) for day in days(*range(9)) for n in range(2)])

    def counting(request: Request) -> Answer:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        if len(server.requests) <= 3:
            meeting.wait(20)
        answer = inner(request)
        with lock:
            at_once -= 1
        return answer

    server.serve = counting
    window = table_of("climate_entries")[1].window.model_copy(update={"piece_days": 1, "parallel": 3})
    result = load_days(DAY, days(8)[0], window=window)
    assert [p.rows_loaded for p in result.partitions] == [2] * 9
    assert most == 3


def _strictness(share: float) -> Any:
    from millpond.ingestion.window import Quarantine

    return Quarantine(fail_above=share)


def test_a_home_whose_column_held_whole_numbers_goes_on_loading_and_keeps_them(
    server: FakeSource,
) -> None:
    columns = table_of("climate_entries")[1].columns
    whole = {**columns, "tmp": columns["tmp"].model_copy(update={"type": "int"})}
    other = DAY - dt.timedelta(days=2)
    server.serve = Entries([reading(0, day, type="tmp", lux=..., tmp=110) for day in (other, DAY)])
    load_days(other, columns=whole)
    load_days(DAY, columns=whole)
    assert raw("tmp") == [110, 110]
    server.serve = Entries(
        [reading(0, type="tmp", lux=..., tmp=110), reading(1, type="tmp", lux=..., tmp=6.1)]
    )
    (day,) = load_days(DAY).partitions
    assert day.rows_loaded == 2
    assert raw("tmp") == [110.0, 110.0, 6.1]


def _shrinking() -> Any:
    from millpond.ingestion.window import Shrink

    return Shrink(hold_below=0)


@pytest.mark.parametrize("write", ["replace", "upsert", "append"])
def test_a_day_that_was_wiped_is_not_loaded_with_the_others_and_its_bad_rows_are_kept_nowhere(
    server: FakeSource, write: str
) -> None:
    server.serve = Entries(
        [*(reading(n, day) for day in (DAY, NEXT) for n in range(3)), reading(9, lux="LOW")]
    )
    source, table = table_of("climate_entries", write=write)
    left = {DAY: leave_out(table, DAY, "it was wiped", " --accept-wiped")}
    window = Window.of_days(DAY, NEXT)
    result = load(source, table, window, ref="main", run_id="test", days_left_out=left)
    assert [part.partition for part in result.partitions] == [NEXT]
    assert result.failed == left
    assert set(raw("_partition_date")) == {NEXT}
    assert quarantined() == []
    asked = len(server.requests)
    alone = load(source, table, Window.of_day(DAY), ref="main", run_id="test", days_left_out=left)
    assert (alone.failed, len(server.requests)) == (left, asked)
