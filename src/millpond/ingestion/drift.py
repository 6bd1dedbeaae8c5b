"""Fields that a source sends and its spec does not name: which columns they become."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from millpond.ingestion.rules import folded
from millpond.ingestion.spec import SourceTable
from millpond.naming import LINEAGE_COLUMNS

MOST_ADDED = 100
"""More unknown fields than this are no drift but a source whose keys are data."""


def column_name(field: str) -> str:
    """Return a field's name as a column: lower case, words joined by underscores; empty if there is none."""
    text = unicodedata.normalize("NFKD", field)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
    text = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
    if not text or len(text) > 60:
        return ""
    return f"_{text}" if text[0].isdigit() or field.startswith("_") else text


def added_columns(table: SourceTable, fields: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the columns (name → field) to add for unknown `fields`, and the fields that become none."""
    known = {column.path(name)[0] for name, column in table.columns.items()}
    taken = {folded(name) for name in (*table.columns, *known, *LINEAGE_COLUMNS)}
    added: dict[str, str] = {}
    left_out: list[str] = []
    for field in sorted(set(fields) - known):
        name = column_name(field)
        if not name or {folded(name), folded(field)} & taken or len(added) >= MOST_ADDED:
            left_out.append(field)
            continue
        taken |= {folded(name), folded(field)}
        added[name] = field
    return added, left_out
