"""Looks at a table of a database: its columns, its primary key, and a sample of its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from millpond.errors import ConfigError
from millpond.ingestion.inspection.fields import Field, list_fields, name_columns, newest_day, unit_of
from millpond.ingestion.inspection.options import UNHARMED, Options
from millpond.ingestion.inspection.proposal import DAILY, Proposal
from millpond.ingestion.inspection.roles import choose_key, choose_time
from millpond.ingestion.schema import column_name
from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.sql.database import DUCKDB, to_source_error
from millpond.ingestion.sql.duckdb_file import DuckFile
from millpond.ingestion.sql.reader import SqlReader
from millpond.ingestion.sql.tables import reflect_table, split_name
from millpond.settings import Settings

_ROWS: Final = 1_000
_NATIVE: Final = {
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE"),
    *("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
}
"""Types of DuckDB that a load takes as they are."""
_UNITS: Final = {"iso", "ms", "s"}
_CHANGED: Final = re.compile(r"(last_?)?(updated?|modified|modification|changed?)(_?(at|on|time|ts|date))?")


def inspect_sql(options: Options, configured: Settings) -> Proposal:
    """Return the source of a table of the database at `options.url`.

    Raises ConfigError for what cannot be chosen, a SourceError if the database cannot be read.
    """
    options.address("sqlite:///data/shop.db")
    reader = SqlReader.of(_blank(options.name), _blank(options.name).tables[0], configured)
    try:
        with _open(reader) as database:
            return _inspect(database, options, configured)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise to_source_error(error, options.name) from None


class _Server:
    """A database that SQLAlchemy connects to; `typed` says whether values always have their column's type."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.typed = connection.dialect.name == "postgresql"

    def names(self) -> list[str]:
        there = sa.inspect(self._connection)
        return [*there.get_table_names(), *there.get_view_names()]

    def table(self, options: Options, name: str) -> sa.Table:
        return reflect_table(self._connection, _blank(options.name, name).tables[0], options.name)

    def rows(self, query: Any) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in self._connection.execute(query).mappings()]
        except (TypeError, ValueError):  # SQLite keeps values of any type in any column
            columns = [sa.type_coerce(each, sa.String).label(each.name) for each in query.selected_columns]
            found = self._connection.execute(query.with_only_columns(*columns))
            return [dict(row) for row in found.mappings()]


class _Duck:
    """A DuckDB file."""

    typed = True

    def __init__(self, file: DuckFile) -> None:
        self._file = file

    def names(self) -> list[str]:
        columns = (sa.Column("table_name", sa.String), sa.Column("table_schema", sa.String))
        of = sa.Table("tables", sa.MetaData(), *columns, schema="information_schema")
        return [row["table_name"] for row in self.rows(sa.select(of).where(of.c.table_schema == "main"))]

    def table(self, options: Options, name: str) -> sa.Table:
        return self._file.reflect(_blank(options.name, name).tables[0], options.name)

    def rows(self, query: Any) -> list[dict[str, Any]]:
        return [row for batch in self._file.tables(query, _ROWS) for row in batch.to_pylist()]


@contextmanager
def _open(reader: SqlReader) -> Iterator[_Server | _Duck]:
    if reader.url.get_backend_name() == DUCKDB:
        with DuckFile(reader.url) as file:
            yield _Duck(file)
        return
    with reader.engine.connect() as connection:
        yield _Server(connection)


def _inspect(database: _Server | _Duck, options: Options, configured: Settings) -> Proposal:
    known = database.names()
    wanted = options.table or (known[0] if len(known) == 1 else None)
    if wanted is None or (split_name(wanted)[0] is None and split_name(wanted)[1] not in known):
        raise ConfigError(
            f"the database has no table {wanted}" if wanted else f"the database has {len(known)} tables",
            unharmed=UNHARMED,
            next_step=f"choose one with --table: {', '.join(sorted(known)[:20]) or 'there is none'}",
        )
    table = database.table(options, wanted)
    rows = database.rows(sa.select(table).limit(_ROWS))
    fields = _fields(table, rows, database.typed)
    time = choose_time(fields, options.time)
    if time is not None:
        rows = database.rows(sa.select(table).order_by(table.c[time.name].desc()).limit(_ROWS))
    primary = [column.name for column in table.primary_key.columns]
    key = choose_key(fields, rows, time, options.key or primary)
    raw_name = options.free_name(column_name(split_name(wanted)[1]))
    return Proposal(
        source=options.name,
        table=raw_name,
        connection={"sql": {}},
        parts={
            **({} if raw_name == wanted else {"sql": {"table": wanted}}),
            "cadence": {"cron": DAILY} | ({"lookback_days": 2} if time else {}),
        },
        fields=fields,
        key=key,
        time=time,
        url=options.url,
        newest=newest_day(rows, time, configured.zone),
        notes=_notes(key, primary, time),
        comments=_comments(fields, time),
    )


def _fields(table: sa.Table, rows: Sequence[Mapping[str, Any]], typed: bool) -> list[Field]:
    sampled = {field.name: field for field in list_fields(rows)}
    found = []
    for column in table.columns:
        seen = sampled.get(column.name)
        values = [row[column.name] for row in rows if row[column.name] is not None]
        native = str(column.info.get("type", "")).lower()
        kind = native if native.startswith("decimal(") else _type(column.type, seen)
        kind = "json" if native.endswith("]") or native.startswith(("struct(", "map(")) else kind
        filled = not column.nullable or (len(values) == len(rows) > 0)
        field = Field(column.name, column.name, kind, unit=unit_of(values, kind), filled=filled)
        found.append(
            replace(field, unique=bool(seen and seen.unique), reflected=typed and _is_reflected(column, kind))
        )
    named = name_columns(found)
    return [
        replace(each, reflected=each.reflected and each.column == column_name(each.name)) for each in named
    ]


def _is_reflected(column: sa.Column[Any], kind: str) -> bool:
    """Return whether a load gives a typed column this type whatever its values are."""
    if native := str(column.info.get("type", "")).upper():
        return native in _NATIVE or native.startswith("DECIMAL(")
    inexact = isinstance(column.type, sa.Numeric) and not isinstance(column.type, sa.Float)
    return kind != "json" and (not inexact or kind.startswith("decimal("))


def _type(kind: Any, seen: Field | None) -> str:
    match kind:
        case sa.Boolean():
            return "bool"
        case sa.Integer():
            return "int"
        case sa.Float():
            return "number"
        case sa.Numeric() if kind.precision and kind.precision <= 38:
            return f"decimal({kind.precision},{kind.scale or 0})"
        case sa.Numeric():
            return "number"
        case sa.DateTime() | sa.TIMESTAMP():
            return "timestamp"
        case sa.Date():
            return "date"
        case sa.JSON() | sa.ARRAY():
            return "json"
    return seen.type if seen and seen.type in {"timestamp", "date"} else "string"


def _notes(key: Sequence[Field], primary: Sequence[str], time: Field | None) -> list[str]:
    source = "its primary key" if [field.name for field in key] == list(primary) else "unique in the sample"
    notes = [f"key: {', '.join(field.column for field in key)} ({source})"]
    if time is None:
        return [*notes, "no column says when a row happened: the table is loaded whole each time"]
    return [*notes, f"time: {time.column}"]


def _comments(fields: Sequence[Field], time: Field | None) -> list[str]:
    """Return the lines that load rows which change later, where a column says when one did."""
    changed = [f for f in fields if f is not time and f.unit in _UNITS and _CHANGED.fullmatch(f.column)]
    if not changed or time is None:
        return []
    unit = "" if changed[0].unit == "iso" else f", unit: {changed[0].unit}"
    return [
        "load: changes  # in place of whole days: the rows that changed, by key",
        f"changes: {{ column: {changed[0].column}{unit}, lag: 1h }}",
    ]


def _blank(name: str, table: str | None = None) -> SourceSpec:
    columns = {"id": {"type": "string"}}
    declared = {"name": name, "key": ["id"], "load": "whole", "columns": columns}
    declared |= {"sql": {"table": table}} if table else {}
    return SourceSpec.model_validate({"source": name, "sql": {}, "tables": [declared]})
