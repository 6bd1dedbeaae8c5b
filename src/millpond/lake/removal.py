"""Removing days from tables: all tables of a call in one commit, whose files then have none of their rows."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping

from millpond.lake import read
from millpond.lake.catalog import load_catalog
from millpond.lake.schema import arrow_schema
from millpond.lake.spec import Replacement, TableSpec, Written
from millpond.lake.tables import replace
from millpond.lake.windows import Windows
from millpond.partitions import Window, contiguous

WINDOW_COLUMN = "millpond.window_column"
"""Property of a table: the column with the day of a row."""


def count_days(ref: str, table: str, window: Window | None = None) -> dict[dt.date, int]:
    """Return how many rows each day of a table has, of `window` or all; none without days."""
    if not read.exists(ref, table):
        return {}
    column = find_window_column(ref, table)
    if column is None:
        return {}
    found: Counter[dt.date] = Counter()
    for piece in read.scan_pieces(ref, table, columns=[column], window=window):
        for group in piece.group_by(column).aggregate([([], "count_all")]).to_pylist():
            found[group[column]] += group["count_all"]
    return dict(found)


def find_window_column(ref: str, table: str) -> str | None:
    """Return the column with the day of a row of a table; None if it has no days."""
    return read.load_table(ref, table).properties.get(WINDOW_COLUMN) or None


def remove_days(ref: str, tables: Mapping[str, Collection[dt.date]], *, run_id: str) -> list[Written]:
    """Remove the rows of these days of each table, in one commit; nothing is committed if there are none.

    Raises as `tables.replace` does; then no table has changed.
    """
    catalog = load_catalog(ref)
    replacements = []
    for table, days in sorted(tables.items()):
        there = catalog.load_table(table)
        schema, declared = arrow_schema(there.schema()), there.properties
        order = tuple(filter(None, declared.get("millpond.sort_by", "").split(",")))
        spec = TableSpec(table, schema, declared.get(WINDOW_COLUMN), sort_by=order)
        window = Windows(tuple(contiguous(days)))
        replacements.append(Replacement(spec, schema.empty_table(), window, keeping="forget"))
    return replace(replacements, ref=ref, run_id=run_id) if replacements else []
