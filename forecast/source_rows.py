"""The rows that a configuration names, as of one snapshot of the table, or of one content of the file."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from forecast.columns import sort_rows
from forecast.errors import UNHARMED, DataRefused
from forecast.spec import FOLDER, Config

_NULLS = ["", "NA", "null"]


@dataclass(frozen=True)
class Pin:
    """What is read: `version` is another one when the content of the table or file may be another."""

    place: str
    version: str
    ref: str | None = None
    snapshot_id: int | None = None


def pin_source(config: Config, ref: str) -> Pin:
    """Return the present snapshot of the table on `ref`, or the present content of the file.

    Raises TableNotFound, RefNotFound, and DataRefused for a table that has no rows yet, or no file.
    """
    if config.source.csv is not None:
        file = FOLDER / config.source.csv
        if not file.is_file():
            raise DataRefused(
                f"forecast/config/{config.source.csv}, which {config.name}.yaml names, does not exist",
                unharmed=UNHARMED,
                next_step="put the file there, or correct `source: { csv: … }`",
            )
        return Pin(config.source.csv, hashlib.sha256(file.read_bytes()).hexdigest())
    from millpond.lake.read import load_table

    name = config.source.table or ""
    snapshot = load_table(ref, name).current_snapshot()
    if snapshot is None:
        raise DataRefused(
            f"the table {name} on ref {ref} has no rows yet",
            unharmed=UNHARMED,
            next_step=f"`millpond materialize {name.partition('.')[2]}` writes it",
        )
    return Pin(name, str(snapshot.snapshot_id), ref, snapshot.snapshot_id)


def read_rows(config: Config, pin: Pin) -> pa.Table:
    """Return the rows of `pin`, sorted: those of the last `weeks` of the configuration, and its columns.

    A column that the source does not have is left out; validation names it.
    """
    rows = _read_file(config) if pin.snapshot_id is None else _read_table(config, pin)
    rows = _cut_weeks(rows, config)
    return sort_rows(rows, config).replace_schema_metadata(None)


def find_span(rows: pa.Table, config: Config) -> tuple[str | None, str | None]:
    """Return the first and the last time of the rows, as ISO 8601 in UTC; None without a time."""
    if config.source.time not in rows.column_names or not rows.num_rows:
        return None, None
    found = pc.min_max(rows[config.source.time]).as_py()
    return _format_time(found["min"]), _format_time(found["max"])


def _format_time(value: Any) -> str:
    return (
        value.astimezone(dt.UTC).isoformat()
        if isinstance(value, dt.datetime) and value.tzinfo
        else str(value)
    )


def _read_file(config: Config) -> pa.Table:
    options = csv.ConvertOptions(null_values=_NULLS, strings_can_be_null=True)
    table = csv.read_csv(FOLDER / str(config.source.csv), convert_options=options)
    return table.select([name for name in config.columns if name in table.column_names])


def _read_table(config: Config, pin: Pin) -> pa.Table:
    from millpond.lake.read import load_table

    table = load_table(str(pin.ref), pin.place)
    there = {field.name for field in table.schema().fields}
    wanted = tuple(name for name in config.columns if name in there)
    return table.scan(snapshot_id=pin.snapshot_id, selected_fields=wanted or ("*",)).to_arrow()


def _cut_weeks(rows: pa.Table, config: Config) -> pa.Table:
    time, weeks = config.source.time, config.source.weeks
    if not weeks or time not in rows.column_names or not pa.types.is_timestamp(rows.schema.field(time).type):
        return rows
    last = pc.max(rows[time]).as_py()
    if last is None:
        return rows
    end = last.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    return rows.filter(
        pc.greater_equal(rows[time], pa.scalar(end - dt.timedelta(weeks=weeks), rows[time].type))
    )
