"""The lake's tables of a source table, and columns for fields that its spec does not name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

import pyarrow as pa

from millpond.ingestion.columns import decimal_digits
from millpond.ingestion.json_sql import split_index
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.spec_rules import fold_name
from millpond.lake.spec import TableSpec
from millpond.naming import LINEAGE_COLUMNS, PARTITION_COLUMN

_ARROW_TYPES: Final = {
    "string": pa.string(),
    "int": pa.int64(),
    "number": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "json": pa.string(),
}
LINEAGE: Final = dict(
    zip(
        LINEAGE_COLUMNS,
        [
            (pa.date32(), "Day the row belongs to, in the configured time zone"),
            (pa.string(), "Run that loaded the row"),
            (pa.timestamp("us", tz="UTC"), "Time at which the row was loaded"),
        ],
        strict=True,
    )
)
QUARANTINE: Final = {
    "row_key": (pa.string(), "Key of the row, where it has one"),
    "reason": (pa.string(), "Rules of the contract that the row broke"),
    "payload": (pa.string(), "The row as the source served it"),
}


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type of the column type `kind`."""
    digits = decimal_digits(kind)
    return pa.decimal128(*digits) if digits else _ARROW_TYPES[kind]


def lake_tables(table: SourceTable) -> tuple[TableSpec, TableSpec]:
    """Return the lake's tables for the good and for the bad rows of `table`."""
    columns = {name: (arrow_type(column.type), column.description) for name, column in table.columns.items()}
    sort_by = (table.event_time.column,) if table.event_time else table.key
    days = table.has_days
    raw = make_spec(table.raw_table, columns, sort_by, table.key, table.description, days)
    kept = f"Rows of {table.raw_table} that broke its contract"
    return raw, make_spec(table.quarantine_table, QUARANTINE, (), (), kept, days)


def list_lineage(days: bool) -> dict[str, tuple[pa.DataType, str]]:
    """Return the lineage columns of a table, with type and meaning; one without `days` has no partition."""
    return {name: each for name, each in LINEAGE.items() if days or name != PARTITION_COLUMN}


def make_spec(
    name: str,
    columns: dict[str, tuple[pa.DataType, str]],
    sort_by: tuple[str, ...],
    key: tuple[str, ...],
    description: str,
    days: bool,
) -> TableSpec:
    """Return a table of `columns` (name → type and comment) and lineage; with `days`, replaced by days."""
    everything = {**columns, **list_lineage(days)}
    return TableSpec(
        name=name,
        schema=pa.schema([pa.field(column, kind) for column, (kind, _) in everything.items()]),
        window_column=PARTITION_COLUMN if days else None,
        key=key,
        grain="month" if days else None,
        sort_by=(PARTITION_COLUMN, *sort_by) if days else sort_by,
        comments={column: text for column, (_, text) in everything.items() if text},
        description=description,
    )


MOST_ADDED = 100
"""A table with more columns that no spec names shows no drift but a source whose keys are data."""


_LETTERS: Final = str.maketrans("øØıđĐðÐłŁħĦ", "oOidDdDlLhH") | {
    ord(letter): letters
    for letter, letters in zip("ßẞæÆœŒþÞ", ("ss", "SS", "ae", "AE", "oe", "OE", "th", "TH"), strict=True)
}
"""Latin letters that Unicode does not take apart."""


def column_name(field: str) -> str:
    """Return a field's name as a column: lower case, words joined by underscores; empty if there is none.

    Letters lose their accents: `Größe in m²` becomes `grosse_in_m2`.
    """
    return _spell(field.translate(_LETTERS))


def _spell(field: str) -> str:
    text = unicodedata.normalize("NFKD", field)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
    if not text or len(text) > 60:
        return ""
    return f"_{text}" if text[0].isdigit() or field.startswith("_") else text


def name_added_columns(
    table: SourceTable, fields: Iterable[str], existing: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Return the columns (name → field) to add for unknown `fields`, and the fields that become none.

    `existing` are the columns that the lake's table has; it gets MOST_ADDED at most that no spec names.
    """
    heads = {column.path(name)[0] for name, column in table.columns.items()}
    known = heads | {split_index(head)[0] for head in heads}
    taken = {fold_name(name) for name in (*table.columns, *known, *LINEAGE_COLUMNS)}
    there = {name for name in existing if fold_name(name) not in taken}
    room = MOST_ADDED - len(there)
    looks = {fold_name(name) for name in there}
    added: dict[str, str] = {}
    left_out: list[str] = []
    for field in sorted(set(fields) - known, key=lambda field: (column_name(field) not in there, field)):
        name = column_name(field)
        if name not in there and _spell(field) in there:
            name = _spell(field)  # as it was called before letters such as ß were spelled out
        new = name not in there
        if (
            not name
            or {fold_name(name), fold_name(field)} & taken
            or (new and (fold_name(name) in looks or room <= 0))
        ):
            left_out.append(field)
            continue
        room -= new
        taken |= {fold_name(name), fold_name(field)}
        added[name] = field
    return added, left_out
