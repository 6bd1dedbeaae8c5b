"""What a file says about its rows: its name, its day and when it was modified, as fields of each of them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from millpond.ingestion.batches import JSON
from millpond.ingestion.files.place import Entry
from millpond.ingestion.spec import SourceTable

NAME, DATE, MODIFIED = FILE_FIELDS = ("_file_name", "_file_date", "_file_modified")
_TYPES: Final = {NAME: pa.string(), DATE: pa.date32(), MODIFIED: pa.timestamp("us", "UTC")}


def add_file_fields(rows: pa.Table, table: SourceTable, entry: Entry, day: dt.date | None) -> pa.Table:
    """Return `rows` with those of FILE_FIELDS that columns of `table` are taken from."""
    values: dict[str, Any] = {NAME: entry.path, DATE: day, MODIFIED: entry.modified}
    asked = [n for n in FILE_FIELDS if any(c.path(name)[0] == n for name, c in table.columns.items())]
    if asked and JSON in rows.column_names:
        return _add_to_json(rows, {name: _text(values[name]) for name in asked})
    for name in asked:
        if name in rows.column_names:
            rows = rows.drop_columns([name])
        rows = rows.append_column(name, pa.repeat(pa.scalar(values[name], _TYPES[name]), len(rows)))
    return rows


def _add_to_json(rows: pa.Table, values: dict[str, str | None]) -> pa.Table:
    added = json.dumps(values)[1:-1].replace("\\", "\\\\")
    texts = rows[JSON]
    empty = pc.match_substring_regex(texts, r"^\s*\{\s*\}\s*$")
    found = pc.replace_substring_regex(texts, r"^\s*\{", f"{{{added}, ", max_replacements=1)
    whole = pa.scalar(f"{{{json.dumps(values)[1:-1]}}}")
    return rows.set_column(rows.column_names.index(JSON), JSON, pc.if_else(empty, whole, found))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else value.isoformat()
