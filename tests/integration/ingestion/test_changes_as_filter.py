"""A source that filters by the time of the last change, while rows belong to the day they were made."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fake_source import DAY, FakeSource, Request, rows_as_json
from millpond.errors import FilterIgnored, RowsHeldBack
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.partitions import Window
from source_tables import raw

NEXT = DAY + dt.timedelta(1)
HOUR = 3_600_000


def order(number: int, day: dt.date) -> dict[str, Any]:
    made = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000) + number * 60_000
    return {"id": day.day * 1000 + number, "created_at": made, "updated_at": made}


def load_day(day: dt.date, **table: Any) -> LoadResult:
    columns = {name: {"type": "int"} for name in ("id", "created_at", "updated_at")}
    declared = {
        "name": "orders",
        "key": ["id"],
        "event_time": {"column": "created_at", "unit": "ms"},
        "columns": columns,
        "window": {"params": {"updated_from": "{start_ms}", "updated_to": "{end_ms}"}},
        "endpoint": {"path": "orders"},
        **table,
    }
    source = SourceSpec.model_validate(
        {"source": "greenhouse", "rest": {"base_url": "{url}"}, "tables": [declared]}
    )
    return load(source, source.tables[0], Window.of_day(day), ref="main", run_id="test")


def test_no_order_is_lost_where_the_source_filters_by_the_last_change(server: FakeSource) -> None:
    orders = [order(n, day) for day in (DAY, NEXT) for n in range(60)]

    def serve(request: Request) -> Any:
        first, last = int(request.query["updated_from"]), int(request.query["updated_to"])
        return rows_as_json([row for row in orders if first <= row["updated_at"] < last])

    server.serve = serve
    assert not load_day(DAY).failed
    assert not load_day(NEXT).failed
    orders[0]["updated_at"] += 24 * HOUR
    (error,) = load_day(DAY).failed.values()
    assert isinstance(error, RowsHeldBack)
    assert "59 good rows, 60 are loaded" in error.what
    (error,) = load_day(NEXT).failed.values()
    assert isinstance(error, FilterIgnored)
    assert "updated_from names another time than created_at" in error.what
    assert len(raw("id", table="raw.orders", key="id")) == 120
    for row in orders[1:25]:
        row["updated_at"] += 24 * HOUR
    loaded = load_day(DAY, shrink={"hold_below": 0.5})
    assert [day.rows_loaded for day in loaded.partitions] == [35]  # as the table declares it
    by_change = {"column": "updated_at", "unit": "ms"}
    assert [day.rows_loaded for day in load_day(NEXT, event_time=by_change).partitions] == [85]
