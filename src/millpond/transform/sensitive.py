"""Columns that a dbt project declares as sensitive, and what is left of rows and errors that may show them.

Values are hidden where they would leave the tables: in samples of checks and in errors, before Dagster, an
alert or a log has them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from millpond.transform.manifest import ParsedProject
from millpond.transform.models import find_source_key, is_ephemeral

HIDDEN: Final = "(sensitive)"
_MARTS: Final = "marts"
_OF_CODE: Final = re.compile(
    r"(Parser|Binder|Catalog|Compilation|Parsing|Not implemented|Permission|Dependency|HTTP|Connection"
    r"|Out of Memory) Error\b|IO Error: Could not write"
    r"|TrinoUserError\(type=USER_ERROR, name=(SYNTAX_ERROR|\w+_NOT_FOUND|TYPE_MISMATCH)\b"
)
"""Errors about the SQL, a server or the space for files, which quote no row."""
_OF_OURS: Final = re.compile(r"^(Unharmed|Next): ", re.MULTILINE)
_CLASS: Final = re.compile(r"^[A-Z]\w*(?: \w+)? (?:Error|Exception)\b")
_TEST_COLUMNS: Final = {
    "unique": "unique_field",
    "accepted_values": "value_field",
    "relationships": "from_field",
}
"""What dbt's own tests call the column that they test."""
_COUNTS: Final = frozenset({"n_records", "rows_with_this_key"})


def find_sensitive_columns(project: ParsedProject | None) -> dict[str, frozenset[str]]:
    """Return the sensitive columns by asset key: those with `meta: {sensitive: true}`.

    A mart has those of its model. Columns of dbt sources count for the raw asset. Without a project: none.
    """
    return {asset: columns for asset, _, columns in _read(project)}


def find_sensitive_tables(project: ParsedProject | None) -> dict[str, frozenset[str]]:
    """Return the sensitive columns by table, `<layer>.<name>` or `marts.<name>`; see above."""
    return {table: columns for _, table, columns in _read(project)}


@dataclass(frozen=True)
class Touched:
    """What a model or a test reads that is sensitive: the columns of these names, in any of its tables.

    `open` are the names of the other columns of its tables.
    """

    columns: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()
    tests: Mapping[str, str] | None = None
    """The column that a generic test is about, by the name that it has in failing rows."""

    def hide_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of a result with everything hidden that may be, or be made from, a sensitive value."""
        if not self.columns:
            return dict(row)
        return {
            name: value if value is None or self._is_open(name.lower()) else HIDDEN
            for name, value in row.items()
        }

    def hide_error(self, text: str, about: str) -> str:
        """Return an error about rows without its words, which may quote values; others are kept."""
        if not self.columns or _OF_CODE.match(text) or _OF_OURS.search(text):
            return text
        kind = _CLASS.match(text)
        return f"{f'{kind[0]}: ' if kind else ''}(hidden, as {about} reads sensitive columns)"

    def _is_open(self, name: str) -> bool:
        tested = (self.tests or {}).get(name, name)
        return name in _COUNTS or (tested in self.open and tested not in self.columns)


def find_touched(project: ParsedProject, unique_id: str) -> Touched:
    """Return what is sensitive of the columns of a model or test, and of the tables that it reads."""
    document = project.document()
    node = document["nodes"].get(unique_id) or document.get("unit_tests", {}).get(unique_id)
    if node is None:  # a hook, which may read any table
        hidden = frozenset[str]().union(*find_sensitive_tables(project).values())
        return Touched(_lower(hidden))
    tables = [node, *_list_parents(node, document)]
    hidden = _lower(name for table in tables for name in _find_columns(table))
    declared = _lower(name for table in tables for name in table.get("columns") or {})
    kind = node.get("test_metadata") or {}
    column = str((kind.get("kwargs") or {}).get("column_name") or node.get("column_name") or "").lower()
    named = {_TEST_COLUMNS[kind["name"]]: column} if kind.get("name") in _TEST_COLUMNS else None
    return Touched(hidden, declared - hidden, named)


def find_stored_failures(project: ParsedProject | None) -> frozenset[str]:
    """Return the tables in which tests store failing rows of what is sensitive, under any names."""
    if project is None:
        return frozenset()
    return frozenset(
        f"{node['schema']}.{node['alias']}".lower()
        for name, node in project.document()["nodes"].items()
        if node["resource_type"] == "test"
        and (node["config"].get("store_failures") or node["config"].get("store_failures_as"))
        and find_touched(project, name).columns
    )


def _read(project: ParsedProject | None) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield asset, table and sensitive columns of each node that has some."""
    if project is None:
        return
    document, models = project.document(), project.models()
    for name, node in document["nodes"].items():
        if name in models and (columns := _find_columns(node)):
            yield models[name].key, models[name].table, columns
            if "publish" in _get_meta(node):
                yield f"{_MARTS}/{node['alias']}", f"{_MARTS}.{node['alias']}", columns
    for source in document["sources"].values():
        if columns := _find_columns(source):
            key = find_source_key(source, models).to_user_string()
            yield key, f"{source['schema']}.{source['identifier']}", columns


def _list_parents(node: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a node reads: models and sources, ephemeral models and what these read."""
    for key in node["depends_on"].get("nodes", ()):
        parent = document["nodes"].get(key) or document["sources"].get(key)
        if parent:
            yield parent
            if parent["resource_type"] == "model" and is_ephemeral(parent):
                yield from _list_parents(parent, document)


def _find_columns(node: Mapping[str, Any]) -> frozenset[str]:
    columns = node.get("columns") or {}
    return frozenset(column["name"] for column in columns.values() if _get_meta(column).get("sensitive"))


def _get_meta(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return `meta`, which dbt accepts by itself and within `config`."""
    return {**(part.get("meta") or {}), **((part.get("config") or {}).get("meta") or {})}


def _lower(names: Iterable[str] | Collection[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
