"""Reads tables of a DuckDB file, without a driver for SQLAlchemy: DuckDB returns Arrow itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from millpond.errors import SourceMalformed, SourceMissing, SourceRefused, SourceUnreachable
from millpond.ingestion.source_errors import UNHARMED
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.sql.tables import no_table, split_name
from millpond.redaction import excerpt

_DIALECT: Final = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_TYPES: Final[dict[str, Any]] = {
    "BOOLEAN": sa.Boolean(),
    "DATE": sa.Date(),
    "DOUBLE": sa.Double(),
    "FLOAT": sa.Float(),
    "TIMESTAMP": sa.DateTime(),
    "TIMESTAMP_S": sa.DateTime(),
    "TIMESTAMP_MS": sa.DateTime(),
    "TIMESTAMP_NS": sa.DateTime(),
    "TIMESTAMP WITH TIME ZONE": sa.DateTime(timezone=True),
    "TIME": sa.Time(),
    "VARCHAR": sa.String(),
    "UUID": sa.Uuid(),
    "JSON": sa.JSON(),
    **dict.fromkeys(
        [f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")]
        + ["INTEGER", "UINTEGER", "HUGEINT"],
        sa.BigInteger(),
    ),
}
_AS_THEY_ARE: Final = ("DECIMAL", "STRUCT", "MAP", "ENUM", "BLOB")


class DuckFile:
    """A DuckDB file, opened to be read, in one transaction."""

    def __init__(self, url: URL) -> None:
        self._file = url.database or ":memory:"

    def __enter__(self) -> DuckFile:
        if not Path(self._file).is_file():
            raise SourceMissing(
                f"there is no file {self._file}",
                unharmed=UNHARMED,
                next_step="put it there, or correct the address; paths count from the project's folder",
            )
        try:
            self._connection = duckdb.connect(
                self._file, read_only=True, config={"autoinstall_known_extensions": "false", "threads": "2"}
            )
        except duckdb.IOException as error:
            kind = SourceUnreachable if "lock" in str(error).lower() else SourceMalformed
            raise kind(
                f"the file cannot be opened: {excerpt(str(error), 300)}",
                unharmed=UNHARMED,
                next_step="see whether another process writes it, then repeat the load",
            ) from None
        self._connection.execute("set TimeZone = 'UTC'")
        self._connection.execute("begin transaction")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def reflect(self, table: SourceTable, source: str) -> sa.Table:
        """Return the table or view that is read; raises SourceRefused, naming those with a similar name."""
        named = (table.sql.table if table.sql else None) or table.name
        schema, name = split_name(named)
        found = self._connection.execute(
            "select column_name, data_type, is_nullable from duckdb_columns() where table_name = $name"
            " and schema_name = $schema and database_name = current_database() order by column_index",
            {"name": name, "schema": schema or "main"},
        ).fetchall()
        if not found:
            there = self._connection.execute(
                "select distinct table_name from duckdb_columns()"
                " where schema_name = $schema and not internal",
                {"schema": schema or "main"},
            ).fetchall()
            raise no_table(named, [row[0] for row in there], source)
        columns = [
            sa.Column(each, _TYPES.get(kind, sa.types.NullType()), nullable=nullable, info={"type": kind})
            for each, kind, nullable in found
        ]
        return sa.Table(name, sa.MetaData(), *columns, schema=schema)

    def scalar(self, query: Any) -> Any:
        """Return the one value of `query`."""
        return self._run(query).fetchall()[0][0]

    def tables(self, query: Any, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of `query`; what Arrow has no type for is text."""
        picked = query.with_only_columns(*map(_expression, query.selected_columns))
        for batch in self._run(picked).to_arrow_reader(rows):
            yield pa.Table.from_batches([batch])

    def _run(self, query: Any) -> duckdb.DuckDBPyConnection:
        sql = str(query.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
        try:
            return self._connection.execute(sql)
        except duckdb.Error as error:
            raise SourceRefused(
                f"the database refuses: {excerpt(str(error), 300)}",
                unharmed=UNHARMED,
                next_step="compare the table with the spec",
            ) from None


def _expression(column: sa.Column[Any]) -> Any:
    kind = str(column.info.get("type", ""))
    if kind in _TYPES or kind.startswith(_AS_THEY_ARE) or kind.endswith("[]"):
        return column
    return sa.cast(column, sa.String).label(column.name)
