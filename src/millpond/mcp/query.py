"""Queries of agents: one SELECT over named tables, without sensitive columns, limited in rows and time.

No rule reads the query to find sensitive columns: each table is a view that does not have them. A query may
name these views, its own CTEs and a few functions that generate rows, and nothing else: no file, no other
table function, no setting. That is checked on DuckDB's own parse of the query.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from millpond.errors import QueryRefused
from millpond.lake import duck
from millpond.naming import literal, marts_schema, quoted
from millpond.publish.schemas import list_marts
from millpond.redaction import redacted
from millpond.runtime.databases import databases
from millpond.settings import settings
from millpond.transform.manifest import load_project_or_last
from millpond.transform.sensitive import find_sensitive_tables, find_stored_failures

MOST_ROWS: Final = 1000
MOST_SECONDS: Final = 120.0
_MARTS: Final = "marts"
_PUBLISHED: Final = "published"
_PAYLOAD: Final = frozenset({"payload", "reason", "row_key"})
"""Columns of rows in quarantine that hold what a source sent."""
_ROW_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest"})
_REFUSED_FUNCTIONS: Final = frozenset({"current_setting", "getenv", "getvariable"})
_SOURCES: Final = frozenset({"BASE_TABLE", "TABLE_FUNCTION", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST"})
_PLAIN: Final = re.compile(r"\w+")
_NO_SELECT: Final = "only a SELECT is run"
_UNHARMED: Final = "everything; nothing was changed"


@dataclass(frozen=True)
class Tables:
    """A DuckDB with the tables that may be read, and the columns of each that are left out."""

    connection: duckdb.DuckDBPyConnection
    hidden: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> list[str]:
        """The tables, `<layer>.<name>` or `marts.<name>`."""
        return sorted(self.hidden)


@contextmanager
def open_tables(ref: str) -> Iterator[Tables]:
    """Yield the tables of `ref`, as they are now. Raises RefNotFound."""
    with duck.connect(ref) as connection:
        project = load_project_or_last(settings())
        hide, failures = find_sensitive_tables(project), find_stored_failures(project)
        secret = any(name.startswith("raw.") for name in hide)
        hidden = {}
        for layer, name in connection.execute(
            "select schema_name, view_name from duckdb_views() where database_name = ?", [duck.DATABASE]
        ).fetchall():
            columns = {each.lower() for each in hide.get(f"{layer}.{name}", ())}
            columns |= _PAYLOAD if secret and layer == "quarantine" else set()
            entirely = f"{layer}.{name}" in failures
            hidden[f"{layer}.{name}"] = _hide(connection, layer, name, columns, entirely=entirely)
        for name in _attach_marts(connection, ref):
            columns = {each.lower() for each in hide.get(f"{_MARTS}.{name}", ())}
            hidden[f"{_MARTS}.{name}"] = _show_mart(connection, ref, name, columns)
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        yield Tables(connection, hidden)


def run_query(sql: str, ref: str, limit: int, seconds: float) -> dict[str, Any]:
    """Return `columns`, `rows` (at most `limit`), `more` and, by table, the columns that it could not read.

    Raises QueryRefused for anything but one SELECT over the tables, and for one that takes too long.
    """
    limit, seconds = max(1, min(limit, MOST_ROWS)), max(1.0, min(seconds, MOST_SECONDS))
    with open_tables(ref) as tables:
        used = find_tables(tables.connection, sql, tables.names)
        stop = threading.Timer(seconds, tables.connection.interrupt)
        stop.start()
        try:
            cursor = tables.connection.execute(sql)
            columns = [each[0] for each in cursor.description or []]
            rows = cursor.fetchmany(limit + 1)
        except duckdb.InterruptException:
            raise QueryRefused(
                f"the query took more than {seconds:.0f} s",
                unharmed=_UNHARMED,
                next_step="read fewer days, or aggregate",
            ) from None
        except duckdb.Error as error:
            raise _refusal(str(error)) from None
        finally:
            stop.cancel()
    return {
        "ref": ref,
        "columns": columns,
        "rows": [[to_plain(value) for value in row] for row in rows[:limit]],
        "more": len(rows) > limit,
        "hidden_columns": {name: tables.hidden[name] for name in used if tables.hidden[name]},
    }


def find_tables(connection: duckdb.DuckDBPyConnection, sql: str, names: list[str]) -> list[str]:
    """Return the tables that `sql` reads. Raises QueryRefused for what may not be read."""
    row = connection.execute("select json_serialize_sql(?)", [sql]).fetchone()
    parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if parsed.get("error"):
        what = str(parsed.get("error_message", ""))
        raise _refusal(_NO_SELECT if "SELECT statements can be" in what else what)
    if len(parsed["statements"]) != 1:
        raise _refusal("only one statement is run")
    nodes = list(_walk(parsed["statements"]))
    ctes = {each["key"] for node in nodes if "cte_map" in node for each in node["cte_map"]["map"]}
    used = set()
    for node in nodes:
        kind = node.get("type")
        if node.get("function_name") in _REFUSED_FUNCTIONS:
            raise _refusal(f"the function {node['function_name']} is not available")
        if kind == "TABLE_FUNCTION" and node["function"]["function_name"] not in _ROW_FUNCTIONS:
            raise _refusal(f"the table function {node['function']['function_name']} is not available")
        if kind == "BASE_TABLE":
            if (name := _name_table(node, ctes, names)) is not None:
                used.add(name)
        elif "table_name" in node and "class" not in node and kind not in _SOURCES:
            raise _refusal("only tables, subqueries and joins may be selected from")
    return sorted(used)


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it; secrets in texts are redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(each) for each in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return redacted(value.hex() if isinstance(value, bytes) else str(value))


def _name_table(node: Mapping[str, Any], ctes: set[str], names: list[str]) -> str | None:
    """Return the table of a reference, None for a CTE."""
    catalog, schema, table = node["catalog_name"], node["schema_name"], node["table_name"]
    if not catalog and not schema and table in ctes and _PLAIN.fullmatch(table):
        return None
    name = f"{schema}.{table}"
    if catalog not in ("", duck.DATABASE) or (catalog and schema == _MARTS) or name not in names:
        shown = ".".join(filter(None, (catalog, schema, table)))
        raise _refusal(f"there is no table {shown}; names are like gold.dim_date, as list_tables has them")
    return name


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from _walk(each)
    elif isinstance(node, list):
        for each in node:
            yield from _walk(each)


def _refusal(what: str) -> QueryRefused:
    return QueryRefused(
        redacted(what.strip()), unharmed=_UNHARMED, next_step="give one SELECT over tables of list_tables"
    )


def _hide(
    connection: duckdb.DuckDBPyConnection, layer: str, name: str, columns: set[str], *, entirely: bool = False
) -> tuple[str, ...]:
    """Leave columns, or all of them, out of the view of a table; returns those that it had."""
    view = f"{quoted(duck.DATABASE)}.{quoted(layer)}.{quoted(name)}"
    if not columns and not entirely:
        return ()
    every = [row[0] for row in connection.execute(f"DESCRIBE {view}").fetchall()]
    columns |= {each.lower() for each in every} if entirely else set()
    shown = [each for each in every if each.lower() not in columns]
    if len(shown) < len(every):
        listed, whole = ", ".join(map(quoted, shown)) or "NULL AS nothing", f"{name} whole"
        connection.execute(f"ALTER VIEW {view} RENAME TO {quoted(whole)}")
        source = f"{quoted(duck.DATABASE)}.{quoted(layer)}.{quoted(whole)}"
        connection.execute(f"CREATE VIEW {view} AS SELECT {listed} FROM {source}")  # noqa: S608
    return tuple(each for each in every if each.lower() in columns)


def _attach_marts(connection: duckdb.DuckDBPyConnection, ref: str) -> list[str]:
    """Attach Postgres under a name that queries cannot use; returns the marts of `ref`."""
    connection.execute(f"ATTACH ':memory:' AS {_MARTS}")
    if not (names := list_marts(ref)):
        return []
    uri = databases().marts_readonly.uri.get_secret_value()
    connection.execute("LOAD postgres_scanner")
    options = f"TYPE postgres, READ_ONLY, SCHEMA {literal(marts_schema(ref))}"
    connection.execute(f"ATTACH {literal(uri)} AS {_PUBLISHED} ({options})")
    return names


def _show_mart(
    connection: duckdb.DuckDBPyConnection, ref: str, name: str, columns: set[str]
) -> tuple[str, ...]:
    table = f"{_PUBLISHED}.{quoted(marts_schema(ref))}.{quoted(name)}"
    every = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    listed = ", ".join(quoted(each) for each in every if each.lower() not in columns) or "NULL AS nothing"
    view = f"{_MARTS}.main.{quoted(name)}"
    connection.execute(f"CREATE VIEW {view} AS SELECT {listed} FROM {table}")  # noqa: S608
    return tuple(each for each in every if each.lower() in columns)
