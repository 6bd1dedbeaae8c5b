"""Tables of an HTTP source that are loaded whole, or by what changed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from fake_source import Answer, FakeSource, Request, fake_source
from millpond.errors import FilterIgnored, ListingIncomplete, RowsHeldBack
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import Settings

DAY = dt.date(2026, 11, 1)


@pytest.fixture
def shop(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(market_url=source.url, request_budget_seconds=3)
        yield source


def spec(**table: Any) -> SourceSpec:
    declared = {"name": "orders", "key": ["id"], "columns": {"id": "int", "amount": "int"}, **table}
    return SourceSpec.model_validate(
        {"source": "market", "rest": {"base_url": "{url}"}, "tables": [declared]}
    )


def whole(**more: Any) -> SourceSpec:
    paginator = {"type": "offset", "limit": 10, "total_path": "total"}
    endpoint = {"path": "orders", "data_selector": "items", "paginator": paginator}
    return spec(**{"load": "whole", "endpoint": endpoint, **more})


def take(source: SourceSpec, first: int | None = None, last: int | None = None) -> LoadResult:
    window = None
    if first is not None:
        window = Window.of_days(
            DAY + dt.timedelta(first), DAY + dt.timedelta(first if last is None else last)
        )
    return load(source, source.tables[0], window, ref="main", run_id="test")


def listing(rows: list[dict[str, Any]], total: int | None = None) -> Callable[[Request], Answer]:
    def serve(request: Request) -> Answer:
        start = int(request.query.get("offset", 0))
        body = {"items": rows[start : start + 10], "total": len(rows) if total is None else total}
        return Answer(json.dumps(body).encode())

    return serve


def some(count: int, amount: int = 1) -> list[dict[str, Any]]:
    return [{"id": number, "amount": amount} for number in range(count)]


def loaded() -> dict[int, int]:
    rows = read.scan("main", "raw.orders").to_pylist() if read.exists("main", "raw.orders") else []
    return {row["id"]: row["amount"] for row in rows}


def test_a_table_without_times_is_listed_whole_and_replaced(shop: FakeSource) -> None:
    shop.serve = listing(some(25))
    assert [p.partition for p in take(whole()).partitions] == [None]
    assert {tuple(request.query) for request in shop.requests} == {("offset", "limit")}
    shop.serve = listing(some(26, amount=2))
    take(whole())
    assert loaded() == dict.fromkeys(range(26), 2)


def test_a_whole_listing_that_is_not_complete_changes_nothing_and_names_no_day(shop: FakeSource) -> None:
    shop.serve = listing(some(25))
    take(whole())
    shop.serve = listing(some(24, amount=2), total=30)
    (error,) = take(whole()).failed.values()
    assert isinstance(error, ListingIncomplete)
    assert error.what.startswith("dlt_orders: ")
    assert "1970" not in error.what
    assert loaded() == dict.fromkeys(range(25), 1)


def test_a_whole_table_that_shrinks_is_held_back(shop: FakeSource) -> None:
    shop.serve = listing(some(30))
    take(whole())
    shop.serve = listing(some(3))
    (error,) = take(whole()).failed.values()
    assert isinstance(error, RowsHeldBack)
    assert len(loaded()) == 30


class Orders:
    """A source's state: rows of any day, listed by the time of their last change."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}

    def put(self, id: int, day: int, changed: float, amount: int = 1) -> None:
        noon = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
        self.rows[id] = {
            "id": id,
            "amount": amount,
            "at": (noon + dt.timedelta(day)).isoformat(),
            "updated_at": int((noon + dt.timedelta(changed)).timestamp()),
        }

    def __call__(self, request: Request) -> Answer:
        low, high = int(request.query["updated_from"]), int(request.query["updated_to"])
        found = [row for row in self.rows.values() if low <= row["updated_at"] < high]
        return Answer(json.dumps(found).encode())


def changes(lag: str = "0s", **more: Any) -> SourceSpec:
    declared = {
        "load": "changes",
        "event_time": {"column": "at"},
        "changes": {"column": "updated_at", "unit": "s", "lag": lag},
        "endpoint": {"path": "orders"},
        "window": {"params": {"updated_from": "{start_s}", "updated_to": "{end_s}"}},
        "columns": {"id": "int", "amount": "int", "at": "timestamp", "updated_at": "int"},
        **more,
    }
    return spec(**declared)


def test_changed_rows_of_any_day_take_the_place_of_those_there(shop: FakeSource) -> None:
    shop.serve = orders = Orders()
    for number in range(6):
        orders.put(number, day=number - 3, changed=0)
    assert not take(changes(), 0).failed
    assert len(loaded()) == 6
    orders.put(2, day=-1, changed=5, amount=7)
    orders.put(3, day=-20, changed=5, amount=8)
    result = take(changes(), 5)
    assert not result.failed
    assert loaded() == {0: 1, 1: 1, 2: 7, 3: 8, 4: 1, 5: 1}
    assert sorted(p.partition for p in result.partitions if p.partition) == [
        DAY + dt.timedelta(day) for day in (-20, -1, 0, 5)
    ]


def test_what_changed_just_before_the_days_asked_for_comes_with_the_lag(shop: FakeSource) -> None:
    shop.serve = orders = Orders()
    orders.put(1, day=0, changed=0.49)
    assert not take(changes(), 1).failed
    assert loaded() == {}
    assert not take(changes(lag="1h"), 1).failed
    assert loaded() == {1: 1}


def test_changes_can_be_asked_for_by_dates_with_a_lag(shop: FakeSource) -> None:
    listed: list[dict[str, Any]] = []

    def serve(request: Request) -> Answer:
        assert dict(request.query) == {"from": "2026-11-01", "to": "2026-11-02"}
        return Answer(json.dumps(listed).encode())

    shop.serve = serve
    for number in range(10):
        moment = f"2026-11-01T{2 * number:02}:00:00Z"
        listed.append({"id": number, "amount": 1, "at": moment, "updated_at": moment})
    columns = {"id": "int", "amount": "int", "at": "timestamp", "updated_at": "timestamp"}
    source = changes(
        changes={"column": "updated_at", "lag": "1h"},
        columns=columns,
        window={"params": {"from": "{start_date}", "to": "{last_date}"}},
    )
    assert not take(source, 1).failed
    assert len(loaded()) == 10


def test_rows_that_did_not_change_then_show_that_the_filter_is_not_heeded(shop: FakeSource) -> None:
    orders = Orders()
    for number in range(20):
        orders.put(number, day=0, changed=number)
    shop.serve = lambda _: Answer(json.dumps(list(orders.rows.values())).encode())
    (error,) = take(changes(), 0).failed.values()
    assert isinstance(error, FilterIgnored)
    assert "updated_at, the column of changes" in error.next_step
    assert loaded() == {}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"window": {"params": {"since": "{start_iso}"}}}, "no time is requested: leave out {start_iso}"),
        ({"window": {"reach": {"rows": 3, "days": 3}}}, "leave out reach"),
        ({"endpoint": {"path": "orders/{start_date}"}}, "no time is requested"),
        (
            {"endpoint": {"path": "orders"}, "news": {"params": {"sort": "desc"}}},
            "loaded whole, so it has no news",
        ),
    ],
)
def test_a_whole_table_that_asks_for_a_time_is_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        whole(**more)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"window": {}}, "needs either params"),
        ({"window": {"reach": {"rows": 3, "days": 3}}}, "has reach, and load is changes"),
        ({"changes": {"column": "updated_at", "unit": "iso"}}, "column of type"),
        ({"write": "replace"}, "cannot replace a day"),
    ],
)
def test_changes_that_cannot_be_asked_for_are_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        changes(**more)
