"""The tables that the sources of the project in use declare: loads of their days, and what was loaded."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

from millpond.ingestion.load import load
from millpond.ingestion.reading import find_table, load_sources, source_files
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import settings


def table_of(name: str, **changes: Any) -> tuple[SourceSpec, SourceTable]:
    """Return a source of the project and its table `name`, the table with `changes`."""
    shipped = tuple((file, file.read_bytes()) for file in source_files(settings().code))
    source, index = find_table(_sources(shipped), name)
    return source, source.tables[index].model_copy(update=changes)


@cache
def _sources(_files: tuple[tuple[Path, bytes], ...]) -> list[SourceSpec]:
    """Return what the files declare, which is parsed once: that takes a quarter of a small load."""
    return load_sources(settings())


def load_days(
    first: dt.date, last: dt.date | None = None, table: str = "climate_entries", **changes: Any
) -> LoadResult:
    """Load days of a table from whatever source the settings name."""
    source, spec = table_of(table, **changes)
    return load(source, spec, Window.of_days(first, last or first), ref="main", run_id="test")


def raw(*columns: str, table: str = "raw.climate_entries", key: str = "_id") -> list[Any]:
    """Return the rows of a lake table, or the values of one column, sorted by key."""
    if not read.exists("main", table):
        return []
    found = read.scan("main", table).sort_by(key)
    if len(columns) == 1:
        values: list[Any] = found[columns[0]].to_pylist()
        return values
    rows: list[Any] = found.select(list(columns) or found.column_names).to_pylist()
    return rows


def quarantined(*columns: str) -> list[Any]:
    return raw(*columns, table="quarantine.climate_entries", key="payload")
