"""A row whose time cannot be read may belong to any day asked for: no day is taken for empty beside it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from fake_source import DAY, Answer, FakeSource, Request, reading, rows_as_json
from millpond.errors import TimesUnreadable, TooManyBadRows
from millpond.ingestion.rest.paginator_spec import Paginator
from millpond.ingestion.results import LoadResult
from millpond.ingestion.window import Reach, WindowSpec
from source_tables import load_days, quarantined, raw, table_of

Rows = list[dict[str, Any]]
NEXT, THIRD = DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)
UNREADABLE = "22/11/2026 10:00"
SHAPES: dict[str, dict[str, Any]] = {
    "newest_first": {},
    "cursor": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"},
    "single_page": {"type": "single_page"},
    "offset": {"type": "offset", "limit": 100},
}


def day_of(day: dt.date, count: int, unreadable: int = 0, **changes: Any) -> Rows:
    """Return readings of a day, the first `unreadable` of them with a time that nobody can read."""
    near = [reading(n, day)["date"] for n in range(count)]
    return [
        reading(n, day, _near=near[n], **({"date": UNREADABLE} if n < unreadable else {}), **changes)
        for n in range(count)
    ]


class Listed:
    """Serves the rows of the days asked for, which it knows itself, in pages of the paginator `shape`."""

    def __init__(self, rows: Rows, shape: str, order: Callable[[Rows], Rows] = list) -> None:
        self.rows, self.shape, self.order = rows, shape, order

    def __call__(self, request: Request) -> Answer:
        query = request.query
        low, high = (int(query[bound]) for bound in ("from", "before"))
        found = self.order([row for row in self.rows if low <= row["_near"] < high])
        if self.shape == "newest_first":
            found = sorted(found, key=lambda row: -row["_near"])
            return rows_as_json(found[: int(query["count"])])
        start = int(query.get("after") or query.get("offset") or 0)
        if self.shape == "single_page":
            return rows_as_json(found)
        page = found[start : start + 100]
        if self.shape == "offset":
            return rows_as_json(page)
        following = str(start + 100) if start + 100 < len(found) else None
        return Answer(json.dumps({"items": page, "next": following}).encode())


def load_as(shape: str, first: dt.date, last: dt.date, **changes: Any) -> LoadResult:
    endpoint = table_of("climate_entries")[1].endpoint
    if shape != "newest_first":
        selector = {"data_selector": "items"} if shape == "cursor" else {}
        paginator = Paginator.model_validate(SHAPES[shape])
        changes |= {
            "endpoint": endpoint.model_copy(update={"paginator": paginator, **selector}),
            "page": None,
        }
    return load_days(first, last, **changes)


def reversed_rows(rows: Rows) -> Rows:
    return rows[::-1]


def shuffled(rows: Rows) -> Rows:
    """Return the rows of all days in turn."""
    return sorted(rows, key=lambda row: row["_near"] % (24 * 3_600_000))


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ("newest_first", list),
        ("cursor", list),
        ("cursor", reversed_rows),
        ("single_page", shuffled),
        ("offset", list),
    ],
)
def test_a_day_all_of_whose_times_are_unreadable_is_not_empty_and_costs_no_other_day(
    server: FakeSource, shape: str, order: Callable[[Rows], Rows]
) -> None:
    rows = [*day_of(DAY, 40), *day_of(NEXT, 200), *day_of(THIRD, 40, unreadable=40)]
    server.serve = Listed(rows, shape, order)
    result = load_as(shape, DAY, THIRD)
    assert [(day.partition, day.rows_loaded) for day in result.partitions] == [(DAY, 40), (NEXT, 200)]
    ((failed, error),) = result.failed.items()
    assert (failed, type(error)) == (THIRD, TimesUnreadable)
    assert (
        "40 rows listed for 2026-11-01...2026-11-03 have no readable time: date is no whole number (40)"
        in (error.what)
    )
    assert "millpond materialize dlt_climate_entries --partition 2026-11-03" in error.next_step
    assert sum(day.rows_quarantined for day in result.partitions) == 40
    assert {row["reason"] for row in quarantined("reason", "payload")} == {"date is no whole number"}
    alone = load_as(shape, THIRD, THIRD)
    assert isinstance(alone.failed[THIRD], TooManyBadRows)


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_day_asked_for_alone_that_has_only_unreadable_times_is_not_empty(
    server: FakeSource, count: int
) -> None:
    server.serve = Listed(day_of(DAY, count, unreadable=count), "newest_first")
    error = load_days(DAY).failed[DAY]
    assert "no whole number" in error.what
    assert "millpond materialize" not in error.next_step
    assert raw() == []


def test_seconds_among_milliseconds_are_no_time_of_1970_but_unreadable(server: FakeSource) -> None:
    rows = day_of(DAY, 40)
    for row in rows[::10]:
        row["date"] //= 1000
    server.serve = Listed(rows, "newest_first")
    (day,) = load_days(DAY).partitions
    assert (day.rows_loaded, day.rows_outside_window, day.reasons) == (36, 0, {"date is no time": 4})


@pytest.mark.parametrize("elements", [[1, 2], ["a"], [[1, 2], [3, 4]], [None]])
def test_a_list_of_anything_but_objects_is_not_an_empty_day(server: FakeSource, elements: list[Any]) -> None:
    server.serve = lambda _: rows_as_json(elements)
    error = load_days(DAY).failed[DAY]
    assert f"row is no JSON object ({len(elements)})" in error.what


def test_elements_that_lack_what_a_selector_leads_to_are_bad_rows_each_of_them(server: FakeSource) -> None:
    endpoint = table_of("climate_entries")[1].endpoint.model_copy(
        update={"paginator": Paginator(type="single_page"), "data_selector": "edges[*].node"}
    )

    def answered(lacking: list[Any]) -> LoadResult:
        edges = [*({"node": row} for row in day_of(DAY, 40)), *lacking]
        server.serve = lambda _: Answer(json.dumps({"edges": edges}).encode())
        return load_days(DAY, endpoint=endpoint, page=None)

    (day,) = answered([{"error": "denied"}, {"error": "denied!"}, {"node": None}, {"node": None}]).partitions
    assert (day.rows_loaded, day.rows_quarantined, day.duplicates_dropped) == (40, 4, 0)
    assert isinstance(answered([{"node": None}] * 20).failed[DAY], TooManyBadRows)


def test_an_empty_day_beside_an_unreadable_time_is_loaded_when_asked_for_alone(server: FakeSource) -> None:
    server.serve = Listed([*day_of(DAY, 40, unreadable=1), *day_of(THIRD, 40)], "newest_first")
    together = load_days(DAY, THIRD)
    assert list(together.failed) == [NEXT]
    assert [(day.rows_loaded, day.rows_quarantined) for day in together.partitions] == [(39, 1), (40, 0)]
    assert [day.rows_in_source for day in load_days(NEXT).partitions] == [0]


def test_of_92_days_those_without_rows_wait_and_the_others_are_loaded(server: FakeSource) -> None:
    days = [DAY - dt.timedelta(days=n) for n in range(92)][::-1]
    missing, unreadable = days[50], days[53]
    rows = [row for day in days if day != missing for row in day_of(day, 3, 3 if day == unreadable else 0)]
    server.serve = Listed(rows, "newest_first")
    result = load_days(days[0], days[-1])
    assert len(result.partitions) == 90
    assert set(result.failed) == {missing, unreadable}
    assert sum(day.rows_quarantined for day in result.partitions) == 3
    assert {type(error) for error in result.failed.values()} == {TimesUnreadable}


def test_days_fail_by_their_own_bad_rows_only(server: FakeSource) -> None:
    rows = [*day_of(DAY, 40), *day_of(NEXT, 40, unreadable=30), *day_of(THIRD, 40)]
    server.serve = Listed(rows, "single_page")
    result = load_as("single_page", DAY, THIRD)
    assert not {THIRD} & set(result.failed)
    assert "30 rows listed for" in result.failed[NEXT].what
    server.serve = Listed([*day_of(DAY, 40), *day_of(NEXT, 10), *day_of(NEXT, 40, 30)[::-1]], "single_page")
    result = load_as("single_page", DAY, NEXT)
    assert isinstance(result.failed.pop(NEXT), TooManyBadRows)
    assert not result.failed


def test_where_no_day_explains_unreadable_times_all_days_fail_that_may_have_too_many(
    server: FakeSource,
) -> None:
    rows = [*day_of(DAY, 40, unreadable=20), *day_of(NEXT, 40, unreadable=20)]
    server.serve = Listed(rows, "single_page", shuffled)
    assert set(load_as("single_page", DAY, NEXT).failed) == {DAY, NEXT}
    rows = [*day_of(DAY, 40, unreadable=2), *day_of(NEXT, 40, unreadable=2)]
    server.serve = Listed(rows, "single_page", shuffled)
    loaded = load_as("single_page", DAY, NEXT).partitions
    assert sum(day.rows_loaded for day in loaded) == 76
    assert sum(day.rows_quarantined for day in loaded) == 4


def test_a_list_without_dates_may_hold_unreadable_times_of_other_days(server: FakeSource) -> None:
    changes = {"window": WindowSpec(reach=Reach(rows=900, days=10_000))}
    days = [DAY - dt.timedelta(days=n) for n in range(4)]
    older = [row for n in range(4, 8) for row in day_of(DAY - dt.timedelta(days=n), 40)[::-1]]

    def newest_first(empty: dt.date, unreadable: dt.date) -> Rows:
        listed = [row for d in days if d != empty for row in day_of(d, 40, 1 if d == unreadable else 0)[::-1]]
        return [*listed, *older]

    server.serve = lambda _: rows_as_json(newest_first(empty=days[2], unreadable=days[3]))
    assert set(load_as("single_page", days[2], days[1], **changes).failed) == set()
    far = newest_first(empty=days[2], unreadable=days[0])
    server.serve = lambda _: rows_as_json(far)
    result = load_as("single_page", days[2], days[1], **changes)
    assert [(day.partition, day.rows_loaded) for day in result.partitions] == [(days[2], 0), (days[1], 40)]
    server.serve = lambda _: rows_as_json(newest_first(empty=days[2], unreadable=days[1]))
    result = load_as("single_page", days[2], days[1], **changes)
    assert list(result.failed) == [days[2]]
    assert "--partition" not in result.failed[days[2]].next_step
