"""Rows outside of the time asked for say whether the source filters by it, before any row is lost."""

from __future__ import annotations

from typing import Any

import pytest

from fake_source import FakeSource
from listings import HOUR, START, answer, failure, read, row, spec
from millpond.errors import FilterIgnored
from millpond.ingestion.rest.outside import find_other_filter, shrink_rule

EVERY_HOUR = [row(n, START + n * HOUR) for n in range(-24, 72)]
EVERY_DAY = [row(1_000 + n, START + n // 40 * 24 * HOUR) for n in range(80)]


def between(first: float, last: float, listed: list[dict[str, Any]] = EVERY_HOUR) -> list[dict[str, Any]]:
    """Return the rows of these hours after START, the last one included."""
    return [r for r in listed if first <= (r["at"] - START) / HOUR <= last]


@pytest.mark.parametrize("paginator", [None, {"type": "page_number"}, {"type": "header_link"}])
@pytest.mark.parametrize(
    ("listed", "side"),
    [
        (between(11, 34), "after"),  # the newest 24 rows, whatever was asked
        (between(12, 35), "after"),
        (between(2, 25), "after"),
        (between(-2, 21), "before"),  # a clock in another time zone
        (between(0, 28), "after"),
        ([row(5_000, 0), *between(11, 34)], "after"),
        (between(0, 24, EVERY_DAY)[10:70], "after"),
    ],
    ids=["newest", "half", "tenth", "zone", "one side", "and an odd row", "dates"],
)
def test_rows_on_one_side_of_the_time_asked_for_show_that_the_source_does_not_filter_by_it(
    server: FakeSource, paginator: Any, listed: list[dict[str, Any]], side: str
) -> None:
    server.serve = lambda r: answer(listed if r.query.get("page", "0") == "0" else [])
    error = failure(spec(paginator), server.url, days=1)
    assert isinstance(error, FilterIgnored)
    assert f"most of them {side} it" in error.what
    assert "window.margin" in error.next_step


@pytest.mark.parametrize(
    ("listed", "margin"),
    [
        (between(-10, 33), "0h"),  # all that the source has, with rows before and after
        ([*between(0, 24), *[r | {"id": r["id"] + 500} for r in between(0, 24)]], "0h"),  # inclusive
        ([row(5_000, 0), *between(0, 23)], "0h"),
        (between(0, 28), "5h"),
        (between(0, 47), "24h"),
        (between(0, 71), "36500d"),
    ],
    ids=["both sides", "inclusive bound", "an odd row", "margin", "margin of a day", "lower bound only"],
)
def test_a_source_that_adds_rows_as_it_may_is_taken(
    server: FakeSource, listed: list[dict[str, Any]], margin: str
) -> None:
    server.serve = lambda _: answer(listed)
    window = {"params": {"from": "{start_ms}", "to": "{end_ms}"}, "margin": margin}
    assert {r["id"] for r in between(0, 23)} <= set(read(spec(window=window), server.url, days=1)[0])


@pytest.mark.parametrize(
    ("params", "column", "other"),
    [
        ({"updated_from": "{start_ms}"}, "created_at", "updated_from"),
        ({"q": "updated:>{start_iso}"}, "created_at", "q"),
        ({"lastModified[gte]": "{start_ms}"}, "at", "lastModified[gte]"),
        ({"receivedAfter": "{start_ms}"}, "sent", "receivedAfter"),  # the table has a column received_at
        ({"sort": "updated", "since": "{start_ms}"}, "created_at", None),
        ({"createdFrom": "{start_ms}", "createdTo": "{end_ms}"}, "created_at", None),
        ({"find[date][$gte]": "{start_ms}"}, "date", None),
        ({"updated_since": "{start_ms}"}, "updated", None),
        ({"from": "{start_ms}", "to": "{end_ms}"}, "at", None),
    ],
)
def test_a_parameter_that_names_another_time_than_that_of_the_rows_is_noticed(
    params: dict[str, str], column: str, other: str | None
) -> None:
    names = {"id", "from", "received_at", column}
    declared = spec(
        window={"params": params},
        columns={name: {"type": "int"} for name in names},
        event_time={"column": column, "unit": "ms"},
    ).tables[0]
    assert find_other_filter(declared) == other
    assert shrink_rule(declared).hold_below == (1 if other else 0.5)
