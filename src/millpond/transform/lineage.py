"""Column lineage: the columns from which each column is computed, traced when the project is parsed."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import dagster as dg
import orjson
from dagster_dbt import DagsterDbtTranslator
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.schema import MappingSchema

from millpond.internals.dagster_on_demand import (
    EventHistoryMetadata,
    build_column_lineage_metadata,
    dbt_cli_event,
)
from millpond.transform.models import Models, find_upstream

_Node = Mapping[str, Any]
_Columns = dict[str, dict[str, Any]]
"""What dbt knows of columns, by name."""
_Tables = dict[str, _Columns]
"""Columns by the name of their relation."""
_Deps = dict[str, list[list[str]]]
_OF_SNAPSHOTS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to", "dbt_is_deleted")
_LINEAGE = "dagster/column_lineage"
_log = logging.getLogger(__name__)


class _Keys:
    """Replaces the translator: the keys are known already."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def get_asset_spec(self, _manifest: object, unique_id: str, _project: object) -> dg.AssetSpec:
        return dg.AssetSpec(dg.AssetKey.from_user_string(self._keys[unique_id]))


class _Compiled:
    """Replaces the folder of compiled files: the SQL is here."""

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def joinpath(self, *_: object) -> _Compiled:
        return self

    def exists(self) -> bool:
        return True

    def read_text(self) -> str:
        return self._sql


def trace_lineage(
    document: _Node, every: Models, keys: Mapping[str, str], compiled: Mapping[str, str], former: _Node
) -> dict[str, Any]:
    """Return the columns of each model and snapshot and what they are computed from, as JSON values.

    `compiled` is their SQL. The lineage in `former` is reused if the SQL and the columns upstream are the
    same. A model whose SQL cannot be analysed is logged and has no lineage.
    """
    columns = {key: _read_declared(source) for key, source in document["sources"].items()}
    found: dict[str, Any] = {}
    for model in every.values():
        node = document["nodes"][model.unique_id]
        if model.refused or model.kind == "seed":
            columns[model.unique_id] = _read_seed_columns(node) if model.kind == "seed" else {}
            continue
        parents = {key: columns[key] for key in find_upstream(node, document) if key in columns}
        traced = _trace_or_reuse(node, compiled.get(model.unique_id, ""), parents, document, keys, former)
        if traced["failed"]:
            _log.warning("no column lineage of %s: %s", model.unique_id, traced["failed"])
        found[model.unique_id] = traced
        columns[model.unique_id] = {name: {"data_type": kind} for name, kind in traced["columns"].items()}
    return found


def _trace_or_reuse(
    node: _Node,
    sql: str,
    parents: Mapping[str, _Columns],
    document: _Node,
    keys: Mapping[str, str],
    former: _Node,
) -> dict[str, Any]:
    of = _hash(sql, _read_declared(node), parents, {key: keys[key] for key in parents})
    before = former.get(node["unique_id"])
    if before and before["of"] == of:
        return dict(before)
    columns, deps, failed = _read_declared(node), _Deps(), ""
    try:
        if not sql:
            raise ValueError("dbt cannot compile it without querying the database")
        columns, deps = _trace(node, sql, parents, document, keys)
    except Exception as error:  # noqa: BLE001 - the project parses whatever sqlglot raises
        failed = " ".join(str(error).split()) or type(error).__name__
    types = {name: column["data_type"] for name, column in columns.items()}
    return {"of": of, "columns": types, "deps": deps, "failed": failed}


def _trace(
    node: _Node, sql: str, parents: Mapping[str, _Columns], document: _Node, keys: Mapping[str, str]
) -> tuple[_Columns, _Deps]:
    """Return the columns of a node, and the asset keys and columns from which each is computed."""
    tables = {**document["sources"], **document["nodes"]}
    known = {str(tables[key]["relation_name"]): columns for key, columns in parents.items()}
    partial = [str(tables[key]["relation_name"]) for key in parents if key.startswith("source.")]
    columns, known = _find_columns(node, sql, known, partial, document["metadata"]["adapter_type"])
    if not parents:
        return columns, {}
    dbt_cli_event.lineage = _make_finder()  # type: ignore[attr-defined, assignment]
    metadata = build_column_lineage_metadata(
        EventHistoryMetadata(columns=columns, parents=known),
        {**node, "depends_on": {"nodes": list(parents)}},
        document,
        cast("DagsterDbtTranslator", _Keys(keys)),
        cast("Path", _Compiled(sql)),
        None,
    )
    traced: dg.TableColumnLineage = metadata[_LINEAGE]
    return columns, {
        column: sorted([dep.asset_key.to_user_string(), dep.column_name] for dep in deps)
        for column, deps in sorted(traced.deps_by_column.items())
        if deps
    }


def _find_columns(
    node: _Node, sql: str, known: _Tables, partial: Collection[str], dialect: str
) -> tuple[_Columns, _Tables]:
    """Return the columns of a query, and those of the tables that it reads, as far as they are known.

    Tables in `partial` may have more columns: one that no other table of the query has is one of theirs.
    """
    declared = _read_declared(node)
    query = cast("exp.Query", parse_one(sql, dialect=dialect))
    try:
        full = qualify(query.copy(), dialect=dialect, schema=_build_schema(known, dialect))
    except SqlglotError:
        known = _infer_columns(query, known, partial, dialect)
        full = qualify(query, dialect=dialect, schema=_build_schema(known, dialect))
    names = [name.lower() for name in full.named_selects]
    if "*" in names:
        raise ValueError("it selects * from a table whose columns are not declared")
    return {
        name: declared.get(name, {"data_type": None}) for name in [*names, *_list_snapshot_columns(node)]
    }, known


def _make_finder() -> Callable[..., Node]:
    """Return what replaces `sqlglot.lineage`, which dagster-dbt calls for each column of one query.

    The query is parsed once for all, and not copied for the text of each node, which is not used.
    """
    found: dict[str, Node] = {}

    def find(column: str, sql: str, schema: MappingSchema, dialect: str) -> Node:
        if not found:
            with suppress(SqlglotError, ValueError):  # of a column that cannot be traced
                found.update(lineage(None, sql, schema, dialect=dialect, trim_selects=False))
        return found.get(column) or lineage(column, sql, schema, dialect=dialect)

    return find


def _list_snapshot_columns(node: _Node) -> list[str]:
    """Return all columns that dbt may add to a snapshot."""
    if node["resource_type"] != "snapshot":
        return []
    named = node["config"].get("snapshot_meta_column_names") or {}
    return [(named.get(name) or name).lower() for name in _OF_SNAPSHOTS]


def _build_schema(known: _Tables, dialect: str) -> MappingSchema:
    schema = MappingSchema(dialect=dialect)
    for name, columns in known.items():
        types = {column: about["data_type"] for column, about in columns.items()}
        if types:
            schema.add_table(exp.to_table(name, dialect=dialect), column_mapping=types, dialect=dialect)
    return schema


def _infer_columns(query: exp.Expr, known: _Tables, partial: Collection[str], dialect: str) -> _Tables:
    """Return the known tables; those in `partial` get the columns that a query reads of them."""
    names = {exp.normalize_table_name(name, dialect=dialect): name for name in partial}
    found = {name: dict(columns) for name, columns in known.items()}
    schema = _build_schema(known, dialect)
    for scope in traverse_scope(
        qualify(query.copy(), dialect=dialect, schema=schema, validate_qualify_columns=False)
    ):
        tables = {
            alias: names[name]
            for alias, table in scope.sources.items()
            if isinstance(table, exp.Table)
            and (name := exp.normalize_table_name(table, dialect=dialect)) in names
        }
        only = next(iter(tables)) if len(tables) == 1 else ""
        for column in scope.columns:
            if table := tables.get(column.table or only):
                found[table].setdefault(column.name.lower(), {"data_type": None})
    return found


def _read_declared(node: _Node) -> _Columns:
    return {
        name.lower(): {"data_type": column["data_type"] or None} for name, column in node["columns"].items()
    }


def _read_seed_columns(node: _Node) -> _Columns:
    """Return the columns that the first line of a seed's file names."""
    path, delimiter = (
        Path(node["root_path"], node["original_file_path"]),
        node["config"].get("delimiter") or ",",
    )
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    return {name.strip().lower(): {"data_type": None} for name in header}


def _hash(*of: object) -> str:
    with_versions = [version("sqlglot"), version("dagster-dbt"), *of]
    return hashlib.sha256(orjson.dumps(with_versions)).hexdigest()[:16]
