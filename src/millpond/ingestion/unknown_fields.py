"""Fields that a spec does not name, as SQL, of tables that neither add nor ignore them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb

from millpond.ingestion.json_sql import split_index
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import TypedRows, staged_name
from millpond.naming import literal

UNKNOWN: Final = "__unknown"
"""Column of the split rows: the fields of a row that the spec does not name; null where none is refused."""
NOT_DECLARED: Final = "is not declared"
_NAMED: Final = 20
"""Fields that reasons name; where keys are data, each row would have a reason of its own."""
_PER_ROW: Final = 3


def known_fields(table: SourceTable) -> set[str]:
    """Return the fields that a row of `table` may have at its top, also where dots are part of a name."""
    paths = [column.path(name) for name, column in table.columns.items()]
    whole = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    return whole | {split_index(name)[0] for name in whole}


def list_unknown(table: SourceTable, rows: TypedRows | None) -> str:
    """Return the expression for the fields of a row that `table` does not name and does not take.

    With `freeze` these are the fields that a row has, with `quarantine` those in which it has a value.
    """
    frozen = table.unknown_columns == "freeze"
    if not frozen and table.unknown_columns != "quarantine":
        return "null::varchar[]"
    known = known_fields(table)
    if rows:
        found = [(literal(name), at) for at, name in enumerate(rows.schema.names) if name not in known]
        parts = [
            name if frozen else f"case when {staged_name(at)} is not null then {name} end"
            for name, at in found
        ]
        return f"list_filter([{', '.join(parts)}]::varchar[], lambda f: f is not null)"
    row = PAYLOAD if frozen else f"json_merge_patch('{{}}', {PAYLOAD})"  # without nulls
    names = ", ".join(map(literal, sorted(known)))
    return f"case when __json then list_filter(json_keys({row}), lambda f: f not in ({names})) end"


def find_frequent(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the most frequent fields that the split rows have and the spec does not name."""
    sql = f"select field from (select unnest({UNKNOWN}) as field from split) group by field"  # noqa: S608 - ours
    found = connection.execute(f"{sql} order by count(*) desc, field limit {_NAMED}").fetchall()
    return [field for (field,) in found]


def unknown_reason(frequent: Sequence[str]) -> str:
    """Return the expression for why a row goes to quarantine that has fields which the spec does not name."""
    named = f"list_filter({UNKNOWN}, lambda f: f in ({', '.join(map(literal, frequent)) or 'null'}))"
    word = f"left(regexp_replace(f, '[\\s;]+', '_', 'g'), 60) || ' {NOT_DECLARED}'"
    texts = f"list_transform(list_sort({named})[:{_PER_ROW}], lambda f: {word})"
    some = f"coalesce(nullif(array_to_string({texts}, '; '), ''), 'a field {NOT_DECLARED}')"
    return f"case when len({UNKNOWN}) > 0 then {some} end"
