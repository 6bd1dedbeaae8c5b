"""Looks at a table of a database: its columns, its primary key, and a sample of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from millpond.errors import ConfigError, SourceError
from millpond.ingestion.inspection.fields import Field, list_fields, name_columns, newest_day, unit_of
from millpond.ingestion.inspection.options import Options
from millpond.ingestion.inspection.proposal import Proposal
from millpond.ingestion.inspection.roles import choose_key, choose_time
from millpond.ingestion.schema import column_name
from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.sql.reader import SqlReader
from millpond.settings import Settings

_ROWS: Final = 1_000


def inspect_sql(options: Options, configured: Settings) -> Proposal:
    """Return the source of a table of the database at `options.url`.

    Raises ConfigError for what cannot be chosen, a SourceError if the database cannot be read.
    """
    options.address("sqlite:///data/shop.db")
    reader = SqlReader.of(_blank(options.name), _blank(options.name).tables[0], configured)
    try:
        return _inspect(reader.engine, options, configured)
    except sa.exc.SQLAlchemyError as error:
        reader.probe()
        raise SourceError(
            f"the database could not be read: {getattr(error, 'orig', None) or error}",
            next_step="check the address, the account and its rights",
        ) from None


def _inspect(engine: sa.Engine, options: Options, configured: Settings) -> Proposal:
    there = sa.inspect(engine)
    known = [*there.get_table_names(), *there.get_view_names()]
    wanted = options.table or (known[0] if len(known) == 1 else None)
    if wanted is None or ("." not in wanted and wanted not in known):
        raise ConfigError(
            f"the database has no table {wanted}" if wanted else f"the database has {len(known)} tables",
            unharmed="everything; nothing was written",
            next_step=f"choose one with --table: {', '.join(sorted(known)[:20]) or 'there is none'}",
        )
    schema, _, name = wanted.rpartition(".")
    table = sa.Table(name, sa.MetaData(), schema=schema or None, autoload_with=engine)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(sa.select(table).limit(_ROWS)).mappings()]
        fields = _fields(table, rows)
        time = choose_time(fields, options.time)
        if time is not None:
            newest = sa.select(table).order_by(table.c[time.name].desc()).limit(_ROWS)
            rows = [dict(row) for row in connection.execute(newest).mappings()]
    primary = [column.name for column in table.primary_key.columns]
    key = choose_key(fields, rows, time, options.key or primary)
    raw_name = options.free_name(column_name(name))
    return Proposal(
        source=options.name,
        table=raw_name,
        connection={"sql": {}},
        parts={} if raw_name == wanted else {"sql": {"table": wanted}},
        fields=fields,
        key=key,
        time=time,
        url=options.url,
        newest=newest_day(rows, time, configured.zone),
        notes=_notes(key, primary, time),
    )


def _fields(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[Field]:
    sampled = {field.name: field for field in list_fields(rows)}
    found = []
    for column in table.columns:
        seen = sampled.get(column.name)
        values = [row[column.name] for row in rows if row[column.name] is not None]
        kind = _type(column.type, seen)
        filled = not column.nullable or (len(values) == len(rows) > 0)
        field = Field(column.name, column.name, kind, unit=unit_of(values, kind), filled=filled)
        found.append(replace(field, unique=bool(seen and seen.unique)))
    return name_columns(found)


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


def _blank(name: str) -> SourceSpec:
    columns = {"id": {"type": "string"}}
    table = {"name": name, "key": ["id"], "load": "whole", "columns": columns}
    return SourceSpec.model_validate({"source": name, "sql": {}, "tables": [table]})
