"""One query on lake tables and marts by their short names: in DuckDB, or with the profile scale in Trino."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from millpond.errors import QueryRefused
from millpond.lake import duck
from millpond.lake.ref_log import find_moment, find_wipes
from millpond.naming import marts_schema, ref_option
from millpond.settings import settings

PART = 1000
"""Rows that are fetched together."""


@dataclass(frozen=True)
class Answer:
    """The columns of a query, and its rows, which are fetched in parts as they are asked for."""

    columns: list[str]
    parts: Iterator[Sequence[Sequence[Any]]]


def run_query(
    query: str, ref: str | None = None, parameters: Sequence[object] = (), *, at: str | None = None
) -> tuple[list[str], list[Sequence[Any]]]:
    """Return the column names and all rows of one SELECT; see `open_query`."""
    with open_query(query, ref, parameters, at=at) as answer:
        return answer.columns, [row for part in answer.parts for row in part]


@contextmanager
def open_query(
    query: str, ref: str | None = None, parameters: Sequence[object] = (), *, at: str | None = None
) -> Iterator[Answer]:
    """Yield the answer of one SELECT, on the lake as it was `at` a commit or a time.

    Raises QueryRefused with the engine's message for SQL that cannot be run, which may only show in a later
    part; RefRefused for an unknown `at`.
    """
    ref = ref or settings().ref
    if settings().scale and at:
        raise QueryRefused(
            "--at reads with DuckDB, and the profile scale queries with Trino",
            unharmed="everything; nothing was read",
            next_step="ask Trino for a version: `… from lake.gold.TABLE for timestamp as of timestamp '…'`",
        )
    if settings().scale:
        from millpond.cli import query_trino

        columns, rows = query_trino.run_query(query, ref, parameters)
        yield Answer(columns, (rows[n : n + PART] for n in range(0, len(rows), PART)))
        return
    moment = _find_moment(ref, at)
    with ExitStack() as stack:
        try:
            try:
                answer = _open(query, parameters, ref, moment, stack, named=query)
            except (duckdb.CatalogException, duckdb.BinderException):
                stack.close()
                answer = _open(
                    query, parameters, ref, moment, stack, named=None
                )  # whose error knows the names of all tables
            yield answer
        except duckdb.Error as error:
            if moment:
                _refuse_wiped(str(error), query, ref, moment)
            raise QueryRefused(
                str(error).strip(),
                unharmed="everything; nothing was changed",
                next_step=_advise(str(error), query, ref),
            ) from error


def _open(
    query: str,
    parameters: Sequence[object],
    ref: str,
    moment: dt.datetime | None,
    stack: ExitStack,
    *,
    named: str | None,
) -> Answer:
    """Run `query` on the tables that `named` names, or on all if it is None, until its first rows are there.

    In a thread, as DuckDB sees Ctrl-C only between some steps of a query.
    """
    connection = stack.enter_context(duck.connect_with_marts(ref, at=moment, query=named))
    statements = duckdb.extract_statements(query)
    if len(statements) != 1 or statements[0].type not in _READING:
        raise QueryRefused(
            "millpond sql runs one read-only statement",
            unharmed="nothing was changed",
            next_step="give a single SELECT; only assets change data",
        )
    pool = stack.enter_context(ThreadPoolExecutor(1, "query"))

    def wait(function: Callable[..., Any], *arguments: Any) -> Any:
        asked = pool.submit(function, *arguments)
        try:
            return asked.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise

    cursor = wait(connection.execute, statements[0], parameters)
    first = wait(cursor.fetchmany, PART)

    def fetch() -> Iterator[list[Any]]:
        part = first
        while part:
            yield part
            part = wait(cursor.fetchmany, PART) if len(part) == PART else []

    return Answer([c[0] for c in cursor.description or []], fetch())


def _find_moment(ref: str, at: str | None) -> dt.datetime | None:
    """Return the time that `at` gives, or that of the commit whose id it begins."""
    if at is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        return find_moment(ref, at)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    if moment > dt.datetime.now(dt.UTC):
        raise QueryRefused(
            f"--at {at} is in the future",
            unharmed="everything; nothing was read",
            next_step="give a time in UTC that is over, such as 2026-11-01T06:00, or the id of a commit:"
            " `millpond history`",
        )
    return moment


def _refuse_wiped(message: str, query: str, ref: str, moment: dt.datetime) -> None:
    """Raise QueryRefused if a table is missing because days of it were wiped after `moment`."""
    if not (missing := _NO_TABLE.search(message)):
        return
    wipes = {t: c for t, c in find_wipes(ref, moment).items() if t.partition(".")[2] == missing[1]}
    if not wipes:
        return
    table, commit = min(wipes.items(), key=lambda item: item[0] not in query)
    raise QueryRefused(
        f"{table} cannot be shown as it was at {moment:%Y-%m-%d %H:%M} UTC: days of it were wiped at"
        f" {commit.at:%Y-%m-%d %H:%M} UTC (commit {commit.id[:8]}), and its versions from before removed",
        unharmed="everything; nothing was read",
        next_step=f"`--at {commit.id[:8]}` shows it right after the wipe, no `--at` as it is now",
    )


def _advise(message: str, query: str, ref: str) -> str:
    if f'schema "{marts_schema(ref)}" does not exist' in message:
        return _advise_mart("", ref)
    if message.startswith("Parser Error"):
        return "give a single SELECT in DuckDB's SQL"
    missing = _NO_TABLE.search(message)
    if missing and re.search(rf'\bmarts"?\."?{re.escape(missing[1])}\b', query):
        return _advise_mart(missing[1], ref)
    return "`millpond tables` lists the lake's tables and their names"


def _advise_mart(name: str, ref: str) -> str:
    """Return what publishes a mart that is not there, or all of them if it has no name."""
    from millpond.publish.spec import find_declarations
    from millpond.transform.manifest import load_project_or_last

    parsed = load_project_or_last(settings())
    known = sorted(node["alias"] for node in find_declarations(parsed.document())) if parsed else []
    if name in known:
        return f"publish it: `millpond materialize marts/{name}{ref_option(ref)}`"
    if not known:
        return "give a model `meta.publish`, which makes a mart of it: docs/dbt.md"
    if not name:
        return f"publish the marts of {ref}: `millpond materialize group:marts{ref_option(ref)}`"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(f'marts.{each}' for each in near)}?"
    return f"no model makes a mart {name}; there are: {', '.join(f'marts.{each}' for each in known[:_SHOWN])}"


_NO_TABLE = re.compile(r"Table with name (\w+) does not exist")
_SHOWN = 20
"""How many names a message lists."""
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
