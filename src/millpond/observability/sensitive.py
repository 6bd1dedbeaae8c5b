"""Columns that a dbt project declares as sensitive: pages, reports and agents show no value of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from millpond.ingestion.quarantine import rules_of
from millpond.transform.manifest import ParsedProject
from millpond.transform.models import find_source_key

HIDDEN: Final = "(sensitive)"
_MARTS: Final = "marts"


def find_sensitive_columns(project: ParsedProject | None) -> dict[str, frozenset[str]]:
    """Return the sensitive columns by asset key: those with `meta: {sensitive: true}`.

    A mart has those of its model. Columns of dbt sources count for the raw asset. Without a project: none.
    """
    return {asset: columns for asset, _, columns in _read(project)}


def find_sensitive_tables(project: ParsedProject | None) -> dict[str, frozenset[str]]:
    """Return the sensitive columns by table, `<layer>.<name>` or `marts.<name>`; see above."""
    return {table: columns for _, table, columns in _read(project)}


def hide_reasons(reasons: Mapping[str, int], hidden: frozenset[str]) -> dict[str, int]:
    """Return the numbers of quarantined rows by reason.

    Of reasons about hidden columns only the rules are kept, such as `email:type`: reasons quote values.
    """
    found: dict[str, int] = {}
    for reason, rows in reasons.items():
        rules = rules_of(reason)
        named = {rule.partition(":")[0].partition(".")[0].lower() for rule in rules}
        shown = ", ".join(rules) if named & {name.lower() for name in hidden} else reason
        found[shown] = found.get(shown, 0) + rows
    return found


def hide_text(text: str, about: Iterable[str]) -> str:
    """Return a text such as an error or, if it is `about` assets with sensitive columns, that it is hidden.

    It may quote values of these columns.
    """
    names = " and ".join(about)
    return f"(hidden, as {names} has sensitive columns; see the run)" if text and names else text


def mentions(text: str, columns: Iterable[str]) -> bool:
    """Return whether a text names one of the columns."""
    words = set(re.findall(r"\w+", text.lower()))
    return any(name.lower() in words for name in columns)


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


def _find_columns(node: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        column["name"] for column in node["columns"].values() if _get_meta(column).get("sensitive")
    )


def _get_meta(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return `meta`, which dbt accepts by itself and within `config`."""
    return {**(part.get("meta") or {}), **((part.get("config") or {}).get("meta") or {})}
