"""Rows below the rows of another table: each parent has a listing of its own, which has to be complete."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fake_source import Answer, FakeSource, Request, fake_source
from millpond.errors import ListingIncomplete, SourceRefused
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
  - name: orders
    key: [id]
    event_time: { column: at }
    endpoint: { path: orders, paginator: { type: offset, limit: 2 } }
    window: { params: { from: "{start_iso}", to: "{end_iso}" } }
    columns: { id: string, at: timestamp }
  - name: lines
    key: [order_id, position]
    event_time: { column: ordered_at }
    endpoint:
      path: "orders/{resources.orders.id}/lines"
      paginator: { type: offset, limit: 2, total_path: total }
      data_selector: items
      include_from_parent: [id, at]
    columns:
      order_id: { type: string, field: _orders_id }
      ordered_at: { type: timestamp, field: _orders_at }
      position: int
"""


class Shop:
    """Orders of some days, two a day, each with three lines; `broken` orders lack a line of the total."""

    def __init__(self) -> None:
        self.orders = [
            {"id": f"a/{number}", "at": f"{DAY + dt.timedelta(number // 2)}T10:00:00Z"} for number in range(6)
        ]
        self.broken: set[str] = set()
        self.gone: set[str] = set()

    def __call__(self, request: Request) -> Answer:
        start = int(request.query.get("offset", 0))
        if request.path == "/orders":
            low, high = request.query.get("from", ""), request.query.get("to", "9")
            found = [order for order in self.orders if low <= order["at"] < high]
            return Answer(json.dumps(found[start : start + 2]).encode())
        order = request.path.split("/")[2].replace("%2F", "/")
        if order in self.gone:
            return Answer(b"{}", status=404)
        rows = [{"position": n} for n in range(3 - (order in self.broken))]
        return Answer(json.dumps({"items": rows[start : start + 2], "total": 3}).encode())


@pytest.fixture
def shop(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(market_url=source.url, request_budget_seconds=3)
        source.serve = Shop()
        yield source


def spec(
    parent: dict[str, Any] | None = None, endpoint: dict[str, Any] | None = None, **more: Any
) -> SourceSpec:
    declared = yaml.safe_load(SPEC)
    declared["tables"][0] |= parent or {}
    declared["tables"][1] |= more
    declared["tables"][1]["endpoint"] |= endpoint or {}
    for table in declared["tables"]:
        for name in [name for name, value in table.items() if value is ...]:
            del table[name]
    return SourceSpec.model_validate(declared)


def take(source: SourceSpec, last: int | None = 2) -> LoadResult:
    window = None if last is None else Window.of_days(DAY, DAY + dt.timedelta(last))
    return load(source, source.tables[1], window, ref="main", run_id="test")


def loaded() -> dict[tuple[str, int], dt.date | None]:
    rows = read.scan("main", "raw.lines").to_pylist() if read.exists("main", "raw.lines") else []
    return {(row["order_id"], row["position"]): row.get("_partition_date") for row in rows}


def lines(*orders: int) -> dict[tuple[str, int], dt.date]:
    return {(f"a/{n}", place): DAY + dt.timedelta(n // 2) for n in orders for place in range(3)}


def test_the_rows_below_each_parent_are_listed_with_its_fields_on_its_day(shop: FakeSource) -> None:
    result = take(spec())
    assert not result.failed
    assert loaded() == lines(*range(6))
    asked = {request.path for request in shop.requests if request.path != "/orders"}
    assert asked == {f"/orders/a%2F{number}/lines" for number in range(6)}
    assert [p.rows_loaded for p in result.partitions] == [6, 6, 6]


def test_a_listing_below_one_parent_that_is_not_complete_fails_its_day_alone(shop: FakeSource) -> None:
    assert isinstance(shop.serve, Shop)
    shop.serve.broken = {"a/3"}
    result = take(spec())
    (day,) = result.failed
    assert day == DAY + dt.timedelta(1)
    assert isinstance(result.failed[day], ListingIncomplete)
    assert result.failed[day].what.startswith("dlt_lines, 2026-11-02: ")
    assert loaded() == lines(0, 1, 4, 5)


def test_a_parent_that_is_gone_fails_its_day_unless_its_status_is_declared(shop: FakeSource) -> None:
    assert isinstance(shop.serve, Shop)
    shop.serve.gone = {"a/0"}
    (error,) = take(spec()).failed.values()
    assert isinstance(error, SourceRefused)
    ignore = [{"status_code": 404, "action": "ignore"}]
    assert not take(spec(endpoint={"response_actions": ignore})).failed
    assert loaded() == lines(*range(1, 6))


def test_parents_that_are_not_all_listed_fail_all_days_of_that_request(shop: FakeSource) -> None:
    serve = shop.serve
    shop.serve = lambda r: Answer(b"[]", status=404) if r.path == "/orders" else serve(r)
    assert len(take(spec()).failed) == 3
    assert loaded() == {}


def test_below_parents_that_are_listed_whole_all_rows_are_listed(shop: FakeSource) -> None:
    source = spec(
        parent={"load": "whole", "event_time": ..., "window": ...},
        load="whole",
        event_time=...,
    )
    assert not take(source, None).failed
    assert set(loaded()) == set(lines(*range(6)))


def test_two_rows_of_one_parent_are_asked_for_once(shop: FakeSource) -> None:
    assert isinstance(shop.serve, Shop)
    shop.serve.orders.insert(1, shop.serve.orders[0])
    take(spec(parent={"endpoint": {"path": "orders", "paginator": {"type": "offset", "limit": 50}}}), 0)
    below = [request for request in shop.requests if request.path == "/orders/a%2F0/lines"]
    assert len(below) == len({tuple(request.pairs) for request in below})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"endpoint": {"path": "orders/{resources.order.id}/lines"}},
            "lines is below order, which is no table",
        ),
        (
            {"endpoint": {"include_from_parent": []}, "event_time": {"column": "position"}},
            "event_time of unit",
        ),
        ({"endpoint": {"include_from_parent": ["id"]}}, "include_from_parent has at"),
        (
            {"event_time": {"column": "own"}, "columns": {"own": "timestamp"}, "key": ["own"]},
            "field: _orders_at",
        ),
        ({"load": "whole", "event_time": ...}, "so load is days"),
        ({"window": {"params": {"since": "{start_iso}"}}}, "leave out {start_iso}"),
        ({"endpoint": {"path": "lines"}}, "includes fields of a parent and names none"),
        ({"parent": {"window": {"reach": {"rows": 9, "days": 9}}}}, "not all days are listed"),
    ],
)
def test_children_that_cannot_be_complete_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        spec(**changes)
