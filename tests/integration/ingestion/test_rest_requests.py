"""How an HTTP source is asked: bounds as dates, in paths and bodies, methods, lists of values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fake_source import Answer, FakeSource, Request, fake_source, rows_as_json
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import Settings

DAY = dt.date(2026, 11, 1)
SPEC = """
source: market
rest: { base_url: "{url}" }
tables:
  - name: rates
    key: [id]
    event_time: { column: at, unit: iso }
    endpoint: { path: rates }
    columns: { id: string, at: timestamp }
"""


@pytest.fixture
def shop(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(market_url=source.url, market_token="a-secret", request_budget_seconds=3)
        yield source


def spec(**table: Any) -> SourceSpec:
    declared = yaml.safe_load(SPEC)
    declared["tables"][0] |= table
    return SourceSpec.model_validate(declared)


def take(source: SourceSpec, first: int = 0, last: int | None = None) -> LoadResult:
    window = Window.of_days(day(first), day(first if last is None else last))
    return load(source, source.tables[0], window, ref="main", run_id="test")


def day(number: int) -> dt.date:
    return DAY + dt.timedelta(number)


def rows_of(*days: dt.date, hour: str = "T12:00:00Z") -> list[dict[str, Any]]:
    return [{"id": f"{each}-{n}", "at": f"{each}{hour}"} for each in days for n in range(3)]


def loaded() -> list[str]:
    return (
        sorted(read.scan("main", "raw.rates")["id"].to_pylist()) if read.exists("main", "raw.rates") else []
    )


def test_one_day_is_asked_for_per_request_by_the_date_in_the_path(shop: FakeSource) -> None:
    def serve(request: Request) -> Answer:
        return rows_as_json(rows_of(dt.date.fromisoformat(request.path[-15:-5])))

    shop.serve = serve
    source = spec(endpoint={"path": "rates/{start_date}.json"}, window={"piece_days": 1})
    assert not take(source, 0, 2).failed
    assert sorted(request.path for request in shop.requests) == [
        f"/rates/2026-11-0{number}.json" for number in (1, 2, 3)
    ]
    assert loaded() == sorted(row["id"] for row in rows_of(day(0), day(1), day(2)))


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        ({"from": "{start_date}", "to": "{end_date}"}, ("2026-11-01", "2026-11-03")),
        ({"from": "{start_date}", "to": "{last_date}"}, ("2026-11-01", "2026-11-02")),
        ({"from": "{start:%Y%m%d}", "to": "{last:%d.%m.%Y}"}, ("20261101", "02.11.2026")),
        ({"from": "{start:%H:%M}", "to": "{last:%Y-%m-%dT%H:%M:%S}"}, ("00:00", "2026-11-02T23:59:59")),
        ({"from": "{start:%Y-%j}", "to": "{end:%Y-%j}"}, ("2026-305", "2026-307")),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_dates_are_those_of_the_configured_zone(
    shop: FakeSource,
    configure: Callable[..., Settings],
    zone: str,
    params: dict[str, str],
    asked: tuple[str, str],
) -> None:
    configure(timezone=zone)
    take(spec(window={"params": params}), 0, 1)
    assert [tuple(request.query.values()) for request in shop.requests] == [asked]


def test_dates_of_another_zone_are_widened_to_whole_days_and_more_rows_are_no_mistake(
    shop: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(timezone="Europe/Berlin")
    listed = [
        {"id": f"{moment:%d-%H}", "at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        for moment in (dt.datetime(2026, 10, 31) + dt.timedelta(hours=n) for n in range(72))
    ]

    def serve(request: Request) -> Answer:
        low, high = request.query["from"], request.query["to"]
        return rows_as_json([row for row in listed if low <= row["at"][:10] <= high])

    shop.serve = serve
    source = spec(window={"params": {"from": "{start_date}", "to": "{last_date}"}, "zone": "UTC"})
    assert not take(source).failed
    assert shop.requests[0].query == {"from": "2026-10-31", "to": "2026-11-01"}
    assert len(loaded()) == 24
    assert loaded()[-1] == "31-23"


def test_a_day_that_is_a_date_belongs_to_that_day_in_every_zone(
    shop: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(timezone="America/Los_Angeles")
    shop.serve = lambda request: rows_as_json(rows_of(dt.date.fromisoformat(request.query["day"]), hour=""))
    window = {"params": {"day": "{start_date}"}, "piece_days": 1}
    columns = {"id": "string", "at": "date"}
    result = take(spec(window=window, event_time={"column": "at", "unit": "date"}, columns=columns), 0, 1)
    assert [p.rows_loaded for p in result.partitions] == [3, 3]


def test_bounds_go_into_headers_and_nested_bodies_and_an_instant_alone_is_a_number(shop: FakeSource) -> None:
    shop.serve = lambda _: rows_as_json(rows_of(DAY))
    endpoint = {
        "path": "search",
        "method": "POST",
        "headers": {"X-From": "{start:%Y%m%d}"},
        "params": {"state": ["open", "paid"], "deep": True, "limit": 50},
        "json": {"filter": [{"at": {"gte": "{start_ms}", "lt": "{end_iso}"}}], "size": 100, "all": False},
    }
    assert not take(spec(endpoint=endpoint)).failed
    (request,) = shop.requests
    assert request.method == "POST"
    assert request.headers["x-from"] == "20261101"
    assert request.pairs == (("state", "open"), ("state", "paid"), ("deep", "true"), ("limit", "50"))
    assert json.loads(request.body) == {
        "filter": [{"at": {"gte": 1793491200000, "lt": "2026-11-02T00:00:00.000Z"}}],
        "size": 100,
        "all": False,
    }


def test_a_field_may_lead_through_places_in_lists(shop: FakeSource) -> None:
    listed = [
        {
            "ids": [[f"{n}"]],
            "times": {"all": [f"{DAY}T0{n}:00:00Z"]},
            "lines": [{"price": n}] * n,
            "note": "x",
        }
        for n in range(6)
    ]
    shop.serve = lambda _: rows_as_json(listed)
    columns = {
        "id": {"field": "ids[0][0]"},
        "at": {"type": "timestamp", "field": "times.all[0]"},
        "price": {"type": "int", "field": "lines[1].price"},
        "lines": "json",
    }
    source = spec(columns=columns, window={"params": {"from": "{start_date}", "to": "{last_date}"}})
    assert not take(source).failed
    found = read.scan("main", "raw.rates").sort_by("id")
    assert found["id"].to_pylist() == [str(n) for n in range(6)]
    assert found["price"].to_pylist() == [None, None, 2, 3, 4, 5]
    assert [json.loads(text) for text in found["lines"].to_pylist()] == [row["lines"] for row in listed]
    assert {name for name in found.column_names if not name.startswith("_")} == {*columns, "note"}


def test_a_form_is_sent_as_data(shop: FakeSource) -> None:
    shop.serve = lambda _: rows_as_json(rows_of(DAY))
    data = {"from": "{start_date}", "kind": ["a", "b"]}
    endpoint = {"path": "search", "method": "POST", "data": data}
    assert not take(spec(endpoint=endpoint, window={"piece_days": 1})).failed
    assert shop.requests[0].body == b"from=2026-11-01&kind=a&kind=b"


@pytest.mark.parametrize(
    ("paginator", "first", "second"),
    [
        (
            {"type": "offset", "limit": 3, "offset_body_path": "page.from", "limit_body_path": "page.size"},
            {"from": 0, "size": 3},
            {"from": 3, "size": 3},
        ),
        ({"type": "page_number", "page_body_path": "page.number"}, {"number": 0}, {"number": 1}),
        ({"type": "cursor", "cursor_path": "next", "cursor_body_path": "page.after"}, None, {"after": "1"}),
    ],
)
def test_a_paginator_asks_in_the_body(
    shop: FakeSource, paginator: dict[str, Any], first: Any, second: Any
) -> None:
    listed = rows_of(day(0), day(1))

    def serve(request: Request) -> Answer:
        page = json.loads(request.body).get("page", {})
        number = int(page.get("after", page.get("number", page.get("from", 0) // 3)))
        body = {"items": listed[number * 3 : number * 3 + 3], "next": "1" if number == 0 else None}
        return Answer(json.dumps(body).encode())

    shop.serve = serve
    body = {"from": "{start_date}", "to": "{end_date}"}
    ignored = [] if paginator["type"] == "cursor" else ["next"]
    endpoint = {
        "path": "search",
        "method": "POST",
        "json": body,
        "paginator": paginator,
        "data_selector": "items",
        "not_markers": ignored,
    }
    assert not take(spec(endpoint=endpoint), 0, 1).failed
    assert [json.loads(request.body).get("page") for request in shop.requests[:2]] == [first, second]
    assert len(loaded()) == 6


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, "needs either params"),
        ({"endpoint": {"path": "rates/{start_date}"}}, "piece_days: 1"),
        ({"window": {"params": {"day": "{start:%Y%m%d}"}}}, "piece_days: 1"),
        ({"endpoint": {"path": "rates/{begin}"}, "window": {}}, "unknown placeholder {begin}; there are"),
        ({"window": {"params": {"since": "{start_iso}"}, "zone": "Mars"}}, "no time zone 'Mars'"),
        ({"endpoint": {"path": "r", "json": {}}}, "no GET"),
        ({"endpoint": {"path": "r", "method": "POST", "json": {}, "data": "x"}}, "one body"),
        ({"endpoint": {"path": "r", "method": "POST", "json": {"a": ["{x}"]}}}, "unknown placeholder"),
        (
            {"endpoint": {"path": "r", "paginator": {"type": "offset", "offset_body_path": "a"}}},
            "needs a body",
        ),
        (
            {
                "endpoint": {
                    "path": "r",
                    "method": "POST",
                    "json": {"page": 1},
                    "paginator": {"type": "page_number", "page_body_path": "page.number"},
                }
            },
            "needs a body that it leads into",
        ),
        ({"endpoint": {"path": "r", "data_selector": "items[?("}}, "no JSONPath"),
        ({"endpoint": {"path": "r", "paginator": {"type": "cursor", "cursor_path": "a..["}}}, "no JSONPath"),
        (
            {"endpoint": {"path": "{start_date}/{last_date}"}, "window": {"reach": {"rows": 3, "days": 1}}},
            "has reach, and path requests a time",
        ),
        (
            {
                "endpoint": {"path": "r", "paginator": {"type": "newest_first"}},
                "page": {"param": "n", "size": 9},
                "window": {"params": {"from": "{start_date}", "to": "{end_date}"}},
            },
            "with an upper bound",
        ),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        spec(**table)


def test_a_filter_that_is_not_heeded_is_noticed_also_in_a_body(shop: FakeSource) -> None:
    shop.serve = lambda _: rows_as_json(rows_of(day(9), day(8)))
    body = {"from": "{start_date}", "to": "{last_date}"}
    result = take(spec(endpoint={"path": "r", "method": "POST", "json": body}))
    (error,) = result.failed.values()
    assert "lie outside of the time asked for" in error.what
