"""Columns whose declared type is not that of the lake's table, and what a conversion loses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq

from millpond.errors import SchemaConflict
from millpond.ingestion.column_rules import Value
from millpond.ingestion.columns import is_numeric, sql_type
from millpond.ingestion.connection import configure_connection
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import TypedRows, column_type, staged_name
from millpond.lake import read
from millpond.lake.schema import arrow_schema, find_stored_type
from millpond.naming import literal, quoted, ref_option
from millpond.redaction import excerpt

_SAMPLES: Final = 3
_SAMPLE_LENGTH: Final = 40


@dataclass(frozen=True)
class TypeChange:
    """A column that has another type in the lake than in the spec; `lost` values cannot be converted."""

    column: str
    before: str
    after: str
    values: int = 0
    lost: int = 0
    samples: tuple[str, ...] = ()


def find_type_changes(table: SourceTable, ref: str) -> list[TypeChange]:
    """Return the columns of `table` whose type in the lake is not the declared one; reads no rows."""
    raw, _ = lake_tables(table)
    if not read.exists(ref, raw.name):
        return []
    there = arrow_schema(read.load_table(ref, raw.name).schema())
    return [
        TypeChange(name, column_type(there.field(name).type), column.type)
        for name, column in table.columns.items()
        if name in there.names
        and there.field(name).type != find_stored_type(raw.name, name, raw.schema.field(name).type)
    ]


def advise_migration(table: SourceTable, error: SchemaConflict, ref: str) -> SchemaConflict:
    """Return `error` with the command that converts the rows that are there to the types of the spec."""
    found = find_type_changes(table, ref)
    command = f"millpond sources migrate {table.asset}{ref_option(ref)}"
    if not found and " in the table and " not in error.what:
        return error
    if not found:
        return SchemaConflict(
            f"{table.asset}: {error.what}",
            unharmed=error.unharmed,
            next_step="declare the column in `columns` of the spec with the type that it is to have, then"
            f" `{command}` converts the rows that are there; or set `unknown_columns: ignore`",
        )
    shown = ", ".join(
        f"{each.column} is {each.before} in the lake, {each.after} in the spec" for each in found
    )
    return SchemaConflict(
        f"{table.asset}: {shown}",
        unharmed=error.unharmed,
        next_step=f"`{command}` converts the rows that are there, `{command} --dry-run` shows what it would"
        " do; or set `type:` in the spec as it was",
    )


class StagedTable:
    """All rows of a raw table in a local file, whose columns become those that `changes` say."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, file: Path, table: SourceTable, zone: ZoneInfo
    ) -> None:
        self._connection, self._table, self._zone = connection, table, zone
        self._names: Sequence[str] = pq.read_schema(file).names
        self._types = pq.read_schema(file)
        self._rows = TypedRows(self._types)
        renamed = ", ".join(f"{quoted(name)} as {staged_name(at)}" for at, name in enumerate(self._names))
        rows = f"read_parquet({literal(str(file))})"
        connection.execute(f"create temp view staged as select {renamed} from {rows}")  # noqa: S608 - ours

    def count_losses(self, changes: Sequence[TypeChange]) -> list[TypeChange]:
        """Return `changes` with how many values each column has, and how many of them would be lost."""
        found = []
        for change in changes:
            value = self._value(change)
            rows, lost, text = self._relation([change]), self._is_lost(value), value.text
            counts = f"count({text}), count(*) filter ({lost})"
            ((values, gone),) = self._fetch(f"select {counts} from {rows}")  # noqa: S608 - names quoted, literals
            some = f"select distinct {text} from {rows} where {lost} order by 1 limit {_SAMPLES}"  # noqa: S608
            shown = tuple(excerpt(text, _SAMPLE_LENGTH) for (text,) in (self._fetch(some) if gone else ()))
            found.append(dataclasses.replace(change, values=values, lost=gone, samples=shown))
        return found

    def convert(self, changes: Sequence[TypeChange], file: Path) -> Path:
        """Write the rows with the columns as `changes` say to `file`, which is returned."""
        new = {change.column: self._value(change).clean() for change in changes}
        columns = ", ".join(
            f"{new.get(name, staged_name(at))} as {quoted(name)}" for at, name in enumerate(self._names)
        )
        sql = f"select {columns} from {self._relation(changes)}"  # noqa: S608 - names quoted, literals
        self._connection.execute(f"copy ({sql}) to {literal(str(file))} (format parquet)")
        return file

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _relation(self, changes: Sequence[TypeChange]) -> str:
        values = [self._value(change) for change in changes]
        strict = ", ".join(f"{value.as_strict()} as {value.strict}" for value in values)
        rows = f"(select *, {strict} from staged)"  # noqa: S608 - names quoted, literals
        clean = ", ".join(f"{value.clean()} as {quoted(value.name)}" for value in values)
        return f"(select *, {clean} from {rows})"  # noqa: S608 - names quoted, literals

    def _value(self, change: TypeChange) -> Value:
        """Return the column as a load would take it from rows as the lake has them, bounds left out."""
        name, event = change.column, self._table.event_time
        rest = {"field": None, "min": None, "max": None, "allowed": None, "round": None}
        column = self._table.columns[name].model_copy(update=rest)
        local = event is not None and event.unit == "local" and event.column == name
        return Value(
            name,
            column,
            (name,),
            self._rows.text((name,)),
            "quarantine",
            native=self._rows.native((name,), column.type),
            nested_if="false",
            naive=self._rows.is_naive((name,)),
            zone=self._zone.key if local else None,
            of_json=False,
        )

    def _is_lost(self, value: Value) -> str:
        """Return the condition that a value is not of the new type, or another one there."""
        if value.column.type in {"string", "json"}:
            return "false"
        old, new = value.text, quoted(value.name)
        place = self._names.index(value.name)
        kind = column_type(self._types.field(value.name).type)
        if kind != "string":
            differs = f"try_cast({new} as {sql_type(kind)}) is distinct from {staged_name(place)}"
        elif is_numeric(value.column.type):
            whole = f"try_cast({old} as hugeint) <> try_cast({new} as hugeint)"
            differs = f"try_cast({old} as double) <> {new}::double or coalesce({whole}, false)"
        else:
            differs = "false"
        return f"({value.mistyped()} or ({new} is not null and ({differs})))"


@contextmanager
def stage_table(table: SourceTable, ref: str, folder: Path, zone: ZoneInfo) -> Iterator[StagedTable]:
    """Yield all rows of the raw table of `table` on `ref`, staged in `folder`."""
    file = folder / "lake.parquet"
    found = read.load_table(ref, table.raw_table)
    with pq.ParquetWriter(file, arrow_schema(found.schema())) as writer:
        for piece in read.scan_pieces(ref, table.raw_table):
            writer.write_table(piece)
    with duckdb.connect(":memory:", config=configure_connection(folder)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield StagedTable(connection, file, table, zone)
