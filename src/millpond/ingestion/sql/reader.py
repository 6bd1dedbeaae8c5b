"""Reads a table of a database as Arrow tables, in one read transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import URL

from millpond.errors import ConfigError, SourceError
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.reader import FetchResult, find_address, read_values
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.source_errors import add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.sql.arrow_rows import fetch_tables
from millpond.ingestion.sql.bounds import select_window, without_time
from millpond.ingestion.sql.database import DUCKDB, open_engine, parse_address, to_source_error
from millpond.ingestion.sql.duckdb_file import DuckFile
from millpond.ingestion.sql.postgres import copy_tables
from millpond.ingestion.sql.tables import chosen_columns, reflect_table, time_column
from millpond.partitions import Window
from millpond.settings import Settings

_ROWS = 100_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SqlReader:
    """Reads the rows of a table with `sql`; `values` are those of the connection's placeholders."""

    source: SourceSpec
    table: SourceTable
    values: Values
    url: URL

    @classmethod
    def of(cls, source: SourceSpec, table: SourceTable, configured: Settings) -> SqlReader:
        """Return the reader of `table`; raises ConfigError for what is not set."""
        values = read_values(source, configured)
        address = find_address(source, table, values, "postgresql://db.example.org/shop", configured)
        url = parse_address(source.source, address, values["user"], values["token"], configured.project)
        return cls(source, table, values, url)

    @property
    def host(self) -> str | None:
        """The server that is asked; None for a file."""
        if not self.url.host:
            return None
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.url.get_backend_name()}://{self.url.host}{port}"

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine of the database."""
        return open_engine(self.url)

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows that the database has for `window`, staged in `folder`."""
        staged = StagedBatches(folder)
        staged.take([lambda: self._batches(window, zone)], parallel=1)
        place = self.table.describe(window)
        errors = [add_place(error, place) for error in staged.errors.values()]
        return FetchResult(
            files=staged.files,
            held=staged.held,
            rows=staged.rows,
            pages=staged.pages,
            may_hold_nul=staged.may_hold_nul,
            streams=[window.start],
            names=staged.names,
            fields=set(staged.names),
            errors=errors,
            failed={day: error for error in errors for day in window.days},
            other_days=True,
        )

    def probe(self) -> None:
        """Open a connection, look for the table and select none of its rows; raises a SourceError."""
        try:
            if self._is_duckdb:
                with DuckFile(self.url) as file:
                    file.reflect(self.table, self.source.source)
                return
            with self.engine.connect() as connection:
                of = reflect_table(connection, self.table, self.source.source)
                picked = sa.select(sa.literal(1), *chosen_columns(of, self.table)).select_from(of)
                connection.execute(picked.limit(0))
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise to_source_error(error, self.source.source) from None

    @property
    def _is_duckdb(self) -> bool:
        return self.url.get_backend_name() == DUCKDB

    def _batches(self, window: Window, zone: ZoneInfo) -> Iterator[pa.Table]:
        rows = self.table.sql.chunk_rows if self.table.sql else _ROWS
        try:
            if self._is_duckdb:
                with DuckFile(self.url) as file:
                    of = file.reflect(self.table, self.source.source)
                    self._warn_of_rows_without_time(of, file.scalar)
                    yield from file.tables(self._query(of, window, zone), rows)
                return
            with self.engine.connect() as connection:
                of = reflect_table(connection, self.table, self.source.source)
                self._warn_of_rows_without_time(of, connection.scalar)
                query = self._query(of, window, zone)
                if connection.dialect.driver == "psycopg":
                    yield from copy_tables(connection, query, rows)
                    return
                yield from fetch_tables(connection, query, rows)
        except (SourceError, ConfigError):
            raise
        except Exception as error:  # noqa: BLE001 - each driver has its own
            raise to_source_error(error, self.source.source) from None

    def _query(self, of: sa.Table, window: Window, zone: ZoneInfo) -> Any:
        query = sa.select(*chosen_columns(of, self.table))
        column = time_column(of, self.table, self.source.source)
        if column is None:
            return query
        return select_window(query, column, self.table, window, zone, self.url.get_backend_name())

    def _warn_of_rows_without_time(self, of: sa.Table, scalar: Any) -> None:
        column = time_column(of, self.table, self.source.source)
        if column is None:
            return
        wrong = without_time(column, self.table, self.url.get_backend_name())
        if rows := scalar(sa.select(sa.func.count()).select_from(of).where(wrong)):
            form = ", or set the column's `format:` if all times have another form than ISO 8601"
            _log.warning(
                "%s: %d rows of %s are not loaded, as they have no %s that can be read and so belong to no"
                " day\nNext: correct them in the database, or have `sql.table` name a view in which each row"
                " has a time%s",
                self.table.asset,
                rows,
                of.name,
                column.name,
                form if isinstance(column.type, sa.String) or self.url.get_backend_name() == "sqlite" else "",
            )
