"""The lake's tables of a source table: the good rows in `raw`, the bad ones in `quarantine`."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from millpond.ingestion.spec import SourceTable
from millpond.lake.spec import TableSpec
from millpond.naming import LINEAGE_COLUMNS, PARTITION_COLUMN

ARROW_TYPES: Final = {
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


def lake_tables(table: SourceTable) -> tuple[TableSpec, TableSpec]:
    """Return the lake's tables for the good and for the bad rows of `table`."""
    columns = {name: (ARROW_TYPES[column.type], column.description) for name, column in table.columns.items()}
    raw = _spec(table.raw_table, columns, (table.event_time.column,), table.key, table.description)
    kept = f"Rows of {table.raw_table} that broke its contract"
    return raw, _spec(table.quarantine_table, QUARANTINE, (), (), kept)


def _spec(
    name: str,
    columns: dict[str, tuple[pa.DataType, str]],
    sort_by: tuple[str, ...],
    key: tuple[str, ...],
    description: str,
) -> TableSpec:
    everything = {**columns, **LINEAGE}
    return TableSpec(
        name=name,
        schema=pa.schema([pa.field(column, kind) for column, (kind, _) in everything.items()]),
        window_column=PARTITION_COLUMN,
        key=key,
        grain="month",
        sort_by=(PARTITION_COLUMN, *sort_by),
        comments={column: text for column, (_, text) in everything.items() if text},
        description=description,
    )
