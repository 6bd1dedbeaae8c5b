"""What dbt-duckdb asks the database in each call and before each model, answered from what the lake shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any

from millpond.lake.duck import DATABASE
from millpond.naming import LAYERS
from millpond.transform.build import get_current_build

if TYPE_CHECKING:
    from millpond.transform.plugin import Plugin

_opened: list[Plugin] = []
"""The plugin of the DuckDB that was opened last."""
_QUOTED = {"database": True, "schema": True, "identifier": True}


_TYPE = (
    r"(?:varchar|text|boolean|date|time|timestamp(?: with time zone)?|timestamptz|blob|uuid|double|float|real"
    r"|u?(?:tinyint|smallint|integer|int|bigint)|(?:decimal|numeric)\(\d+,\s*\d+\))(?:\[\])?"
)
_CAST = rf'\s*cast\(null as {_TYPE}\)\s+as (?:\w+|"[^"]+")\s*'
_CASTS = re.compile(
    rf"\s*select \* from \(\s*select{_CAST}(?:,{_CAST})*\) as __dbt_sbq\s+where false\s+limit 0\s*",  # noqa: S608 - a pattern
    re.IGNORECASE,
)
"""How dbt asks for the columns of a contract: a query of types of DuckDB's own, of no table."""


def describe_casts_once(describe: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Have the columns of contracts described once: the answer depends on the text of the query alone."""
    known: dict[str, list[Any]] = {}

    @wraps(describe)
    def describe_query(adapter: Any, sql: str) -> list[Any]:
        if sql not in known:
            found = describe(adapter, sql)
            if not _CASTS.fullmatch(sql):
                return found
            known[sql] = found
        return list(map(copy, known[sql]))

    return describe_query


def answer_from_lake(plugin: Plugin) -> None:
    """Have dbt-duckdb, during builds, ask `plugin` which tables there are.

    The lake has all layers from the beginning, and none of its tables has a foreign key.
    """
    from millpond.internals.dbt import DuckDBAdapter, skip_foreign_keys

    if _opened:
        _opened[:] = [plugin]
        return
    _opened.append(plugin)
    adapters: Any = DuckDBAdapter
    list_schemas, list_relations = adapters.list_schemas, adapters.list_relations_without_caching

    def find_schemas(adapter: Any, database: str) -> Any:
        if get_current_build() and database.strip('"').lower() == DATABASE:
            return list(LAYERS)
        return list_schemas(adapter, database)

    def find_relations(adapter: Any, within: Any) -> Any:
        tables = _opened[0].list_tables() if str(within.database).lower() == DATABASE else None
        if tables is None:
            return list_relations(adapter, within)
        named = (table.split(".", 1) for table in tables)
        return [
            adapter.Relation.create(DATABASE, layer, name, quote_policy=_QUOTED, type="table")
            for layer, name in named
            if layer == str(within.schema).lower()
        ]

    adapters.get_column_schema_from_query = describe_casts_once(adapters.get_column_schema_from_query)
    skip_foreign_keys(DuckDBAdapter, lambda: get_current_build() is not None)
    adapters.list_schemas, adapters.list_relations_without_caching = find_schemas, find_relations
