"""Types of DuckDB that tables of the lake cannot have, each with what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from millpond.errors import SchemaConflict
from millpond.naming import quoted

_INSTEAD = {
    "uhugeint": "cast({0} as decimal(38, 0)), or cast({0} as varchar)",
    "ubigint": "cast({0} as decimal(20, 0)), or cast({0} as bigint)",
    "bignum": "cast({0} as varchar)",
    "bit": "cast({0} as varchar)",
    "interval": "cast({0} as varchar), or epoch({0}) for its seconds",
    "time with time zone": "cast({0} as time) for the time without its zone, or cast({0} as varchar)",
    "time_ns": "cast({0} as time)",
    "union": "cast({0} as varchar), or a column for each of its types",
    "map": "map_entries({0}) for a list of keys and values, or cast({0} as varchar)",
    "variant": "cast({0} as varchar)",
    "geometry": "cast({0} as varchar)",
}


def fetch_rows(
    cursor: duckdb.DuckDBPyConnection, relation: str, owner: str, *, executed: bool = False
) -> pa.Table:
    """Return the rows of a table, view or query; `owner` is its name in errors.

    With `executed`, they are what the last statement of the cursor returns.
    Raises SchemaConflict for a column of a type that tables of the lake cannot have.
    """
    if not executed:
        cursor.execute(f"from {relation}")
    for column, kind in ((c[0], c[1]) for c in cursor.description or ()):
        for unfit in _walk_types(kind):
            if (name := _name_type(unfit)) in _INSTEAD:
                raise _unsupported_type_error(cursor, relation, owner, column, str(kind), name)
    return cursor.to_arrow_table()


def _walk_types(kind: Any) -> Iterator[Any]:
    """Yield a type and those of its parts; a type that is refused as a whole has none."""
    yield kind
    if kind.id in ("list", "array", "struct"):
        for name, part in kind.children:
            if name != "size":
                yield from _walk_types(part)


def _name_type(kind: Any) -> str:
    return kind.id if kind.id in ("union", "map") else str(kind).lower()


def _unsupported_type_error(
    cursor: duckdb.DuckDBPyConnection, relation: str, owner: str, column: str, kind: str, name: str
) -> SchemaConflict:
    named = quoted(column)
    example = cursor.execute(
        f"select cast({named} as varchar) from {relation} where {named} is not null limit 1"  # noqa: S608
    ).fetchone()
    shown = f", for example {str(example[0])[:80]}" if example else ""
    nested = "" if kind.lower() == name or name in ("union", "map") else f" for the {name} in it"
    return SchemaConflict(
        f"{owner}: column {column} is {kind}, which tables of the lake cannot have{shown}",
        unharmed="its table; nothing of this write is visible",
        next_step=f"write{nested} {_INSTEAD[name].format(column)}",
    )
