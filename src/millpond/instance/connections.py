"""The connection pool of Dagster's storages; Postgres is started on demand, and secrets are masked.

Dagster serializes exceptions in one place; everything else that runs store (log lines, metadata, tags, ticks)
passes through this pool."""

from __future__ import annotations

import select
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Final

import psycopg2
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, text
from sqlalchemy.exc import DisconnectionError

from millpond import crash_points
from millpond.instance.prepared import GENERIC_PLANS
from millpond.internals.dagster_on_demand import SerializableErrorInfo
from millpond.redaction import redacted, without_known
from millpond.runtime.databases import databases
from millpond.settings import settings

_from_traceback = SerializableErrorInfo.from_traceback


def _mask_error(
    cls: type[SerializableErrorInfo], raised: traceback.TracebackException
) -> SerializableErrorInfo:
    """Return Dagster's record of an exception, masked; Dagster calls this for each of its causes."""
    made = _from_traceback(raised)
    return cls(
        message=redacted(made.message),
        stack=[redacted(frame) for frame in made.stack],
        cls_name=made.cls_name,
        cause=made.cause,
        context=made.context,
    )


SerializableErrorInfo.from_traceback = classmethod(_mask_error)  # type: ignore[assignment]


def mask_parameters(engine: Engine) -> None:
    """Mask registered secrets in the text values of all statements."""

    def mask(
        _connection: object, _cursor: object, statement: str, values: Any, *_: object
    ) -> tuple[str, Any]:
        return statement, _mask_values(values)

    event.listen(engine, "before_cursor_execute", mask, retval=True)


def _mask_values(values: Any) -> Any:
    if isinstance(values, str):
        return without_known(values)
    if isinstance(values, dict):
        return {name: _mask_values(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return (
            tuple(map(_mask_values, values)) if isinstance(values, tuple) else list(map(_mask_values, values))
        )
    return values


_COLUMN = text(
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(:table_name)"
    " AND attname = :column AND NOT attisdropped)"
)
_TABLE = text("SELECT to_regclass(:table_name) IS NOT NULL")


_DRIVER: Final = "postgresql+psycopg2://"
_POOL_SIZE = 3
_RECYCLE_SECONDS = 600
_CREATION_LOCK: Final = 0x64616773746572
"""Advisory lock for creating Dagster's tables: several machines may open a shared Postgres at once."""
_creating: ContextVar[Engine | None] = ContextVar("creating", default=None)


class PooledStorage:
    """A storage with pooled connections, in every process."""

    @property
    def _engine(self) -> Engine:
        return _creating.get() or self._assigned

    @_engine.setter
    def _engine(self, engine: Engine) -> None:
        self._assigned = engine

    def includes(self, table: str, column: str = "", held: Connection | None = None) -> bool:
        """Return whether Dagster's tables include this one, with the column; cached once they do.

        Asks on the connection `held`, if any, and does not reflect all columns of the table.
        """
        if (table, column) not in self._included:
            statement, values = (_COLUMN, {"column": column}) if column else (_TABLE, {})
            with nullcontext(held) if held is not None else self._engine.connect() as connection:
                if connection.scalar(statement, {"table_name": table, **values}):
                    self._included.add((table, column))
        return (table, column) in self._included

    @cached_property
    def _included(self) -> set[tuple[str, str]]:
        return set()

    def optimize_for_webserver(
        self,
        statement_timeout: int,
        pool_recycle: int,  # noqa: ARG002
        max_overflow: int,  # noqa: ARG002
    ) -> None:
        """Limit each statement to `statement_timeout` milliseconds."""
        self._engine = pool(statement_timeout)


def pool(statement_timeout: int | None = None) -> Engine:
    """Return this process's connection pool; a run of Dagster takes hundreds of connections in sequence."""
    return pool_of(settings().home, statement_timeout)


@lru_cache(4)
def pool_of(_home: Path, statement_timeout: int | None) -> Engine:
    """Return the connection pool of a home, which the settings name."""

    engine = create_engine(
        _DRIVER,
        creator=partial(_connect, statement_timeout),
        isolation_level="AUTOCOMMIT",
        pool_size=_POOL_SIZE,
        pool_use_lifo=True,  # the connection that has prepared most
        max_overflow=-1,
        pool_recycle=_RECYCLE_SECONDS,
        pool_reset_on_return=None,
    )
    event.listen(engine, "checkout", _refuse_closed)
    mask_parameters(engine)
    return engine


@contextmanager
def create_in_one_transaction() -> Iterator[None]:
    """Have storages that are opened in the block create their tables on one connection, all or none.

    Dagster connects for each of its statements and commits each: 50 connections and 140 commits.
    """
    engine = create_engine(_DRIVER, creator=_connect, isolation_level="AUTOCOMMIT", poolclass=StaticPool)
    chosen = _creating.set(engine)
    try:
        with engine.connect() as connection:  # its "commits" do nothing, as it is in autocommit mode
            connection.execute(text("BEGIN"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})
            yield
            crash_points.reached("dagster.tables_created")
            connection.execute(text("COMMIT"))
    finally:
        _creating.reset(chosen)
        engine.dispose()


def _connect(statement_timeout: int | None = None) -> Any:
    bound = f" -cstatement_timeout={statement_timeout}" if statement_timeout else ""
    options = f"-csearch_path={databases().dagster.search_path} {GENERIC_PLANS}{bound}"
    try:
        return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)
    except psycopg2.OperationalError:
        return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Replace a pooled connection that the server has closed, which shows on its socket.

    SQLAlchemy's own check queries the server each time, which doubles the cost of most statements.
    """
    if connection.closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        raise DisconnectionError
