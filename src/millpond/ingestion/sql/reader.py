"""Reads a table of a database through dlt's `sql_table`, as Arrow tables, in one read transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import URL

from millpond import redaction
from millpond.errors import ConfigError, SourceError, SourceRefused, SourceUnreachable
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.source_errors import UNHARMED, add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.sql.bounds import select_window
from millpond.partitions import Window
from millpond.redaction import excerpt
from millpond.settings import Settings, variable

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_REPEATABLE = {"postgresql", "mysql", "mariadb"}


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
        found = configured.source(source.source)
        token = found.token.get_secret_value() if found.token else None
        values = placeholders.connection(found.url, found.user, token)
        address = fill(source.location, values)
        if address is None:
            raise ConfigError(
                f"{variable('url', source.source)} is not set, and {table.asset} needs it",
                next_step=f"set {variable('url', source.source)} in the environment or in .env, for example"
                " to postgresql://db.example.org/shop",
            )
        return cls(source, table, values, _url(source, address, found.user, token, configured.project))

    @property
    def host(self) -> str | None:
        """The server that is asked; None for a file."""
        return (
            f"{self.url.get_backend_name()}://{self.url.host}:{self.url.port or ''}"
            if self.url.host
            else None
        )

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine of the database, whose connections read one snapshot."""
        name = self.url.get_backend_name()
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if name in _REPEATABLE else {}
        try:
            return sa.create_engine(self.url, poolclass=sa.NullPool, **options)
        except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"{self.source.source}: the driver for {self.url.drivername} is not installed",
                next_step=f"install it: {error}",
            ) from None

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows that the database has for `window`, staged in `folder`."""
        staged = StagedBatches(folder)
        staged.take([lambda: self._batches(window, zone)], parallel=1)
        failed = {
            day: add_place(error, self.table.describe(window))
            for error in staged.errors.values()
            for day in window.days
        }
        return FetchResult(
            files=staged.files,
            rows=staged.rows,
            pages=staged.pages,
            streams=[window.start],
            names=staged.names,
            fields=set(staged.names),
            errors=list(staged.errors.values()),
            failed=failed,
            other_days=True,
        )

    def probe(self) -> None:
        """Open a connection and look for the table; raises a SourceError."""
        try:
            self._reflect()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise _to_source_error(error) from None

    def _batches(self, window: Window, zone: ZoneInfo) -> Iterator[pa.Table]:
        from dlt.sources.sql_database import sql_table

        try:
            table = self._reflect()
            resource = sql_table(
                self.engine,
                table.name,
                schema=table.schema,
                metadata=table.metadata,
                backend="pyarrow",
                chunk_size=self.table.sql.chunk_rows if self.table.sql else 100_000,
                reflection_level="full_with_precision",
                query_adapter_callback=lambda query, of: select_window(query, of, self.table, window, zone),
            )
            yield from resource
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - dlt wraps what a driver raises
            raise _to_source_error(_root(error)) from None

    def _reflect(self) -> sa.Table:
        named = (self.table.sql.table if self.table.sql else None) or self.table.name
        schema, _, name = named.rpartition(".")
        metadata = sa.MetaData()
        try:
            return sa.Table(name, metadata, schema=schema or None, autoload_with=self.engine)
        except sa.exc.NoSuchTableError:
            there = sa.inspect(self.engine)
            known = [*there.get_table_names(schema or None), *there.get_view_names(schema or None)]
            raise SourceRefused(
                f"the database has no table {named}; it has {', '.join(sorted(known)[:10]) or 'none'}",
                unharmed=UNHARMED,
                next_step=f"correct sql.table in sources/{self.source.source}.yaml",
            ) from None


def _url(source: SourceSpec, address: str, user: str | None, token: str | None, project: Path) -> URL:
    try:
        url = sa.engine.make_url(address)
    except sa.exc.ArgumentError:
        raise ConfigError(
            f"the address of {source.source} is no SQLAlchemy address",
            next_step="write for example postgresql://db.example.org/shop or sqlite:///data/shop.db",
        ) from None
    redaction.register(url.password)
    redaction.register(token)
    if url.host and user:
        url = url.set(username=user)
    if url.host and token:
        url = url.set(password=token)
    if not url.host and url.database and url.database != ":memory:":
        url = url.set(database=str(project / url.database))
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def _to_source_error(error: BaseException) -> SourceError:
    text = excerpt(str(getattr(error, "orig", None) or error))
    if isinstance(error, sa.exc.ProgrammingError | sa.exc.ArgumentError):
        return SourceRefused(
            f"the database refuses: {text}",
            unharmed=UNHARMED,
            next_step="check the table, and the account's rights",
        )
    return SourceUnreachable(
        f"the database could not be read: {text}",
        unharmed=UNHARMED,
        next_step="see whether it is up and the address and the account are right; then repeat the load",
    )


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        if isinstance(error, sa.exc.SQLAlchemyError):
            break
    return error
