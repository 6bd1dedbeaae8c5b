"""dbt-trino on the lake: reads from the ref of the build and passes each model's result to the lake.

dbt names every table `"lake"."layer"."table"`; the catalog of the ref replaces `lake` when a statement is
sent. So one parsed project serves all refs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dbt.adapters.base.meta import available
from dbt_common.exceptions import DbtBaseException, DbtDatabaseError
from trino.exceptions import TrinoQueryError

from millpond.internals.dbt import (
    ConnectionWrapper,
    EventTimeFilter,
    TrinoAdapter,
    TrinoConnectionManager,
    TrinoPlugin,
    TrinoRelation,
)
from millpond.lake import trino
from millpond.settings import settings
from millpond.transform import trino_store
from millpond.transform.build import get_current_build
from millpond.transform.trino_writes import rewrite_for_branch

_UNFIT = re.compile(r'Type not supported for Iceberg: (?P<kind>[^"]+)"')
_QUERY = re.compile(r"^.*?\bas\s*\((?P<sql>.*)\)\s*$", re.DOTALL | re.IGNORECASE)
_INSTEAD = {"json": "json_format({0})", "time": "cast({0} as time), or cast({0} as varchar)"}


class LakeConnectionManager(TrinoConnectionManager):
    """Connects as the settings say, and sends statements to the catalog of the build's ref."""

    @classmethod
    def open(cls, connection: Any) -> Any:
        """Open a connection as the settings say, to the catalog of the ref of the build."""
        if connection.state != "open":
            build = get_current_build()
            name = trino.catalog_name(build.ref if build else settings().ref)
            opened = trino.open_connection(catalog=name, schema=connection.credentials.schema)
            connection.handle = ConnectionWrapper(opened, False)  # type: ignore[no-untyped-call]
            connection.state = "open"
        return connection

    def add_query(self, sql: str, *args: Any, **named: Any) -> Any:
        """Run a statement on the ref of the build; outside of a build, statements only read."""
        build = get_current_build()
        ref = build.ref if build else None
        sent = rewrite_for_branch(sql, ref, self.profile.credentials.schema)
        try:
            return super().add_query(sent, *args, **named)  # type: ignore[no-untyped-call]
        except DbtDatabaseError as error:
            if found := _explain_unsupported_type(sent, str(error)):
                raise DbtDatabaseError(found) from error
            raise

    @contextmanager
    def exception_handler(self, sql: str) -> Iterator[None]:
        """Record Trino's server errors in the build: dbt passes them on only as text."""
        with super().exception_handler(sql):
            try:
                yield
            except Exception as error:
                build = get_current_build()
                if build and not isinstance(error, DbtBaseException) and trino.is_server_error(error):
                    build.server_errors.append(trino.server_error(error))
                raise


@dataclass(frozen=True, eq=False, repr=False)
class LakeRelation(TrinoRelation):
    """A table whose days are dates, so that a window reads no more files than necessary."""

    def _render_event_time_filtered(self, event_time_filter: EventTimeFilter) -> str:
        name = event_time_filter.field_name
        bounds = ((">=", event_time_filter.start), ("<", event_time_filter.end))
        return " and ".join(f"{name} {sign} date '{str(at)[:10]}'" for sign, at in bounds if at)


class TrinoAdapterOnLake(TrinoAdapter):
    """dbt's adapter in the profile scale; dbt derives its type from the name of the class."""

    Relation = LakeRelation
    ConnectionManager = LakeConnectionManager

    @available
    def replace_in_lake(self, model: Mapping[str, Any], result: str) -> None:
        """Replace the rows of a model's table with those of the table `result`, and remove that."""
        started = time.perf_counter()
        trino_store.store(model, result, started)


def install() -> None:
    """Have dbt in this process use this adapter for the type trino."""
    TrinoPlugin.adapter = TrinoAdapterOnLake  # type: ignore[assignment]


def _explain_unsupported_type(statement: str, message: str) -> str:
    """Return why Trino refuses a `create table … as (…)` because of a type; empty for other errors."""
    unfit, query = _UNFIT.search(message), _QUERY.match(statement)
    if not unfit or not query:
        return ""
    kind, columns = unfit["kind"], []
    with suppress(TrinoQueryError):
        cursor = trino.open_connection().cursor()
        cursor.execute(f"select * from (\n{query['sql']}\n) limit 0")  # noqa: S608
        cursor.fetchall()
        columns = [c[0] for c in cursor.description or () if kind.lower() in str(c[1]).lower()]
    if not columns:
        return ""
    instead = _INSTEAD.get(re.split(r"\W", kind)[0].lower(), "cast({0} as varchar)").format(columns[0])
    named = f"column {columns[0]} is" if len(columns) == 1 else f"columns {', '.join(columns)} are"
    return f"{named} {kind}, which tables of the lake cannot have; write {instead}"
