"""Rows in quarantine staged as if a source had just served them, next to loaded rows of the same days."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millpond.errors import ConfigError
from millpond.ingestion.columns import Column
from millpond.ingestion.json_sql import page_connection
from millpond.ingestion.load import find_added
from millpond.ingestion.quarantine import matches
from millpond.ingestion.reader import STREAM_SHIFT, FetchResult
from millpond.ingestion.rest.pages import MOST_FIELDS, PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import column_type
from millpond.lake import read
from millpond.naming import PARTITION_COLUMN, ref_option
from millpond.partitions import Window

CUT: Final = "row:size"
"""The rule of rows whose payload is not stored whole, so they cannot be judged again."""
LOADED: Final = 1 << (STREAM_SHIFT - 1)
"""The bit of `_seq` that is set for loaded rows alone; they are later than those of quarantine."""


def stage_rows(table: SourceTable, rows: pa.Table, days: Window, folder: Path) -> FetchResult:
    """Stage `rows` of `days`, a stream for each day they are filed under, in their order.

    The order decides between rows that are alike.
    """
    size = table.quarantine.max_row_bytes
    cut = [each for each in pc.unique(rows["reason"]).to_pylist() if matches(CUT, each)]
    texts = pc.if_else(  # a payload that was cut stays too large
        pc.is_in(rows["reason"], pa.array(cut, pa.string())),
        pc.utf8_rpad(rows["payload"], size + 1, " "),
        rows["payload"],
    )
    files = [_stage(texts, _places(rows, days), folder / "stored.parquet")] if len(rows) else []
    fields = _fields(texts) if table.unknown_columns == "add" and files else set()
    return FetchResult(files, len(rows), 0, days.days, fields=fields)


def stage_loaded(table: SourceTable, there: pa.Table, days: Window, folder: Path, ref: str) -> list[Path]:
    """Stage what decides between rows of one key of the loaded rows `there`; they win where all is alike.

    Their `_seq` has the bit LOADED. Raises ConfigError if they lack a column that is needed.
    """
    if not there.num_rows:
        return []
    needed = [*dict.fromkeys(table.identifying)]
    known = [name for name in dict.fromkeys([*needed, table.version]) if name in there.column_names]
    if missing := [name for name in needed if name not in known]:
        text = f"loaded rows have no column {', '.join(missing)}, of which the key or the time is made now"
        raise contract_error(table, days, ref, text)
    texts = pa.array([_as_served(table, row) for row in there.select(known).to_pylist()], pa.string())
    return [_stage(texts, _places(there, days) + LOADED, folder / "loaded.parquet")]


def by_day(table: SourceTable, fields: Collection[str], ref: str, types: Mapping[str, str]) -> SourceTable:
    """Return `table` as one whose rows were requested day by day, with types for `fields` it does not name.

    These are the `types` of the fields, or those that their columns have in the lake. Other fields are texts.
    """
    there: dict[str, pa.DataType] = {}
    if read.exists(ref, table.raw_table):
        schema = read.load_table(ref, table.raw_table).schema().as_arrow()
        there = {field.name: field.type for field in schema}
    columns = dict(table.columns)
    for name, field in find_added(table, fields, ref).items():
        kind = types.get(field) or column_type(there.get(name, pa.string()))
        if kind != "string":
            columns[name] = Column(type=kind, field=field, optional=True, on_bad="null")
    window = table.window.model_copy(update={"reach": None})
    return table.model_copy(update={"columns": columns, "window": window})


def contract_error(table: SourceTable, days: Window, ref: str, what: str) -> ConfigError:
    """Return the error for loaded rows that do not go with the contract as it is now."""
    return ConfigError(
        f"{table.asset}, {days}: {what}",
        unharmed="the rows in quarantine and the loaded ones; nothing was written",
        next_step="load the days again by the contract as it is now:"
        f" `millpond materialize {table.asset} {days.option}{ref_option(ref)}`",
    )


def _places(rows: pa.Table, days: Window) -> Any:
    streams = {day: number for number, day in enumerate(days.days)}
    numbers = [streams[day] for day in rows[PARTITION_COLUMN].to_pylist()]
    return (np.array(numbers, np.int64) << STREAM_SHIFT) + np.arange(len(rows))


def _stage(texts: pa.Array | pa.ChunkedArray, places: Any, file: Path) -> Path:
    pq.write_table(pa.table({"_seq": pa.array(places, pa.int64()), PAYLOAD: texts}), file)
    return file


def _fields(texts: pa.ChunkedArray) -> set[str]:
    connection = page_connection()
    connection.register("stored", pa.table({"payload": texts}))
    found = connection.execute(
        """
        select distinct unnest(keys) from (
            select case when json_valid(payload) and starts_with(payload, '{')
                        then json_keys(payload) end as keys
            from stored
        ) where len(keys) <= ?
        """,
        [MOST_FIELDS],
    )
    names = {name for (name,) in found.fetchall()}
    connection.unregister("stored")
    return names


def _as_served(table: SourceTable, row: Mapping[str, Any]) -> str:
    """Return values of a loaded row as JSON, at the places where the source has them."""
    served: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        column = table.columns[name]
        if isinstance(value, dt.datetime | dt.date):
            value = value.strftime(column.format) if column.format else value.isoformat()
        elif column.type == "json":
            value = json.loads(value)
        _put(served, column.path(name), value)
    return json.dumps(served, ensure_ascii=False, default=str)


def _put(served: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for key in above:
        inside = served.setdefault(key, {})
        served = inside if isinstance(inside, dict) else {}
    served[last] = value
