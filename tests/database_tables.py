"""Loads of a table of the source shop, whose spec a test writes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window

DAY = dt.date(2026, 11, 2)


def spec_of(columns: dict[str, Any], **table: Any) -> SourceSpec:
    """Return a source that is a database, with a table `orders` of these columns and a key `id`."""
    whole = {"name": "orders", "key": ["id"], "columns": {"id": "int", **columns}, **table}
    if "event_time" not in whole:
        whole |= {"load": "whole"}
    return SourceSpec.model_validate({"source": "shop", "sql": {"url": "{url}"}, "tables": [whole]})


def load_shop(source: SourceSpec, first: dt.date = DAY, last: dt.date | None = None) -> LoadResult:
    """Load days of the source's table, or the table whole."""
    table = source.tables[0]
    window = Window.of_days(first, last or first) if table.event_time else None
    return load(source, table, window, ref="main", run_id="test")


def orders(*columns: str, table: str = "raw.orders", key: str = "id") -> list[Any]:
    """Return the rows of a lake table without lineage, or the values of one column."""
    if not read.exists("main", table):
        return []
    found = read.scan("main", table).sort_by(key)
    if len(columns) == 1:
        values: list[Any] = found[columns[0]].to_pylist()
        return values
    names = list(columns) or [name for name in found.column_names if not name.startswith("_")]
    rows: list[Any] = found.select(names).to_pylist()
    return rows


def the_error(result: LoadResult) -> Exception:
    """Return the one reason why nothing was loaded."""
    assert result.partitions == []
    (error,) = set(result.failed.values())
    return error
