"""Days of tables with frozen columns, whose rows have fields that the spec does not name: not loaded."""

from __future__ import annotations

import datetime as dt
from typing import Final

from millpond.errors import FieldsUnknown
from millpond.ingestion.refused import replay_advice
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.unknown_fields import UNKNOWN
from millpond.ingestion.validated_rows import ValidatedRows
from millpond.naming import pluralize, ref_option
from millpond.partitions import Window, contiguous

_SHOWN: Final = 10


def find_unknown_fields(
    source: str, table: SourceTable, validated: ValidatedRows, ref: str
) -> dict[dt.date, FieldsUnknown]:
    """Return the error of each day whose rows have fields that the frozen columns of `table` do not name."""
    if table.unknown_columns != "freeze":
        return {}
    rows = f"select __part, unnest({UNKNOWN}) as field from judged"  # noqa: S608 - ours
    rows = f"({rows} where __fate <> 'outside')"
    sql = f"select __part, field, count(*) from {rows} group by all order by all"  # noqa: S608 - ours
    found: dict[dt.date, dict[str, int]] = {}
    for day, field, number in validated.connection.execute(sql).fetchall():
        found.setdefault(day, {})[field] = number
    errors: dict[dt.date, FieldsUnknown] = {}
    for fields in dict.fromkeys(map(tuple, found.values())):
        for days in contiguous(day for day, each in found.items() if tuple(each) == fields):
            rows_with = {field: sum(found[day][field] for day in days.days) for field in fields}
            errors |= dict.fromkeys(days.days, _error(source, table, days, rows_with, ref))
    return errors


def _error(source: str, table: SourceTable, days: Window, rows: dict[str, int], ref: str) -> FieldsUnknown:
    shown = ", ".join(f"{field} ({_count(number)})" for field, number in list(rows.items())[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    option = f" {days.option}" if table.has_days else ""
    return FieldsUnknown(
        f"{table.describe(days)}: rows have fields that the spec does not name, and unknown_columns: freeze"
        f" takes none: {shown}{more}",
        unharmed="these days as they were loaded before; nothing of them was written",
        next_step=f"add them to `columns` in sources/{source}.yaml with `optional: true`, or set"
        " unknown_columns to add, ignore or quarantine; then"
        f" `millpond materialize {table.asset}{option}{ref_option(ref)}` loads them"
        + replay_advice(table, days, ref),
    )


def _count(number: int) -> str:
    return pluralize(number, "row")
