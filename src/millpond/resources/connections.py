"""The connections of Dagster's storages: pooled, and made to a Postgres that is started on demand."""

from __future__ import annotations

import select
from functools import lru_cache
from typing import Any

import psycopg2
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from millpond.resources.masking import mask_parameters
from millpond.runtime.databases import databases

_KEPT_CONNECTIONS = 3
_RECYCLE_SECONDS = 600


class Pooled:
    """A storage whose connections are pooled, in the webserver and everywhere else."""

    _engine: Engine

    def optimize_for_webserver(
        self,
        statement_timeout: int,
        pool_recycle: int,  # noqa: ARG002
        max_overflow: int,  # noqa: ARG002
    ) -> None:
        """Bound each statement to `statement_timeout` milliseconds."""
        self._engine = pool(statement_timeout)


@lru_cache(4)
def pool(statement_timeout: int | None = None) -> Engine:
    """Return this process's pool of connections; a run of Dagster takes hundreds, one after another."""

    def connect() -> Any:
        bound = f" -cstatement_timeout={statement_timeout}" if statement_timeout else ""
        options = f"-csearch_path={databases().dagster.search_path}{bound}"
        try:
            return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)
        except psycopg2.OperationalError:
            return psycopg2.connect(databases().dagster.uri.get_secret_value(), options=options)

    engine = create_engine(
        "postgresql+psycopg2://",
        creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        pool_recycle=_RECYCLE_SECONDS,
        pool_reset_on_return=None,
    )
    event.listen(engine, "checkout", _refuse_closed)
    mask_parameters(engine)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have a pooled connection replaced that the server has ended: its socket has something to say.

    SQLAlchemy's own check asks the server each time, which doubles the cost of most of Dagster's statements.
    """
    if connection.closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if poll.poll(0):
        raise DisconnectionError
