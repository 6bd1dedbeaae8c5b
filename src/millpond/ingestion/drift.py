"""Fields that a source sends and its spec does not name: which columns they become."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

from millpond.ingestion.rules import folded
from millpond.ingestion.spec import SourceTable
from millpond.naming import LINEAGE_COLUMNS

MOST_ADDED = 100
"""A table with more columns that no spec names shows no drift but a source whose keys are data."""


def column_name(field: str) -> str:
    """Return a field's name as a column: lower case, words joined by underscores; empty if there is none."""
    text = unicodedata.normalize("NFKD", field)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
    if not text or len(text) > 60:
        return ""
    return f"_{text}" if text[0].isdigit() or field.startswith("_") else text


def added_columns(
    table: SourceTable, fields: Iterable[str], existing: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Return the columns (name → field) to add for unknown `fields`, and the fields that become none.

    `existing` are the columns that the lake's table has; it gets MOST_ADDED at most that no spec names.
    """
    known = {column.path(name)[0] for name, column in table.columns.items()}
    taken = {folded(name) for name in (*table.columns, *known, *LINEAGE_COLUMNS)}
    there = {name for name in existing if folded(name) not in taken}
    room = MOST_ADDED - len(there)
    looks = {folded(name) for name in there}
    added: dict[str, str] = {}
    left_out: list[str] = []
    for field in sorted(set(fields) - known, key=lambda field: (column_name(field) not in there, field)):
        name = column_name(field)
        new = name not in there
        if (
            not name
            or {folded(name), folded(field)} & taken
            or (new and (folded(name) in looks or room <= 0))
        ):
            left_out.append(field)
            continue
        room -= new
        taken |= {folded(name), folded(field)}
        added[name] = field
    return added, left_out
