"""Declared fields that no row of a load has, and columns of which no value is usable: the source has changed.

Such days are not loaded: their nulls would look like data. All counts come from one aggregate over the rows;
rows are looked into again only where a field seems to be missing.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Final

import pyarrow.compute as pc

from millpond.errors import FieldsMissing
from millpond.ingestion.column_rules import Value
from millpond.ingestion.json_sql import json_path
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.schema import column_name
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import column_type
from millpond.ingestion.validated_rows import ValidatedRows
from millpond.lake import read
from millpond.naming import PARTITION_COLUMN, quoted, ref_option
from millpond.partitions import Window, contiguous

LEAST: Final = 5
"""Rows, or values, below which nothing follows from their likeness."""
_BEFORE: Final = dt.timedelta(366)
_CHANCE: Final = 0.001
"""Likelihood below which a few rows do not lack by chance what those before them had."""
_SHOWN: Final = 10
_ROWS: Final = "judged where __fate <> 'outside' and __broken is null"

Days = dict[dt.date, int]


def find_missing_fields(validated: ValidatedRows, ref: str) -> dict[dt.date, str]:
    """Return for each day that is not to be loaded which declared fields its rows lack, or hold badly.

    A field is missing where none of a day's rows has it, or none of the whole load's, and there are enough of
    them to tell: by themselves, or since the rows that `ref` holds of that day or of those before have it.
    What a column's `optional` or `required_when` excuses does not count.
    """
    found: dict[dt.date, list[str]] = {}
    loaded = _Loaded(ref, validated.contract.table)
    absent = list(_absent(validated, loaded))
    for value, days in absent:
        path = ".".join(value.keys)
        text = f"no row has the field {path}"
        if path != value.name:
            text += f" (column {value.name})"
        if fields := _unknown(validated, value, days):
            text += f"; fields that the spec does not name: {', '.join(fields)}"
            if name := _find_new_name(path, loaded.find_new(fields), alone=len(absent) == 1):
                text += f"; {path} is probably called {name} now"
        for day in days:
            found.setdefault(day, []).append(text)
    for value, days in _unusable(validated, loaded):
        reasons = {r for day in days for r in validated.counts[day].nulled if _is_about(r, value.name)}
        text = f"no value of the column {value.name} is usable: {', '.join(sorted(reasons))}"
        text += _describe_type(validated, value)
        for day in days:
            found.setdefault(day, []).append(text)
    return {day: "; ".join(texts) for day, texts in found.items()}


def report_missing_fields(
    source: str, table: SourceTable, missing: dict[dt.date, str], ref: str
) -> dict[dt.date, FieldsMissing]:
    """Return the error of each day in `missing`, one for all days in a row that lack the same."""
    errors: dict[dt.date, FieldsMissing] = {}
    for text in dict.fromkeys(missing.values()):
        for window in contiguous(day for day, other in missing.items() if other == text):
            option = f" {window.option}" if table.has_days else ""
            error = FieldsMissing(
                f"{table.describe(window)}: {text}",
                unharmed="these days as they were loaded before; nothing of them was written",
                next_step="if the source renamed a field, set `field:` of its column in"
                f" sources/{source}.yaml; if it sends another type, set `type:`; if rows may do"
                " without, set `optional: true`, and if bad values may become null, `on_bad: null`; then"
                f" `millpond materialize {table.asset}{option}{ref_option(ref)}` loads them",
            )
            errors |= dict.fromkeys(window.days, error)
    return errors


def _absent(validated: ValidatedRows, loaded: _Loaded) -> Iterator[tuple[Value, list[dt.date]]]:
    """Yield each column whose field is missing, with the days it is missing on."""
    contract, least = validated.contract, _least(validated)
    expected = [
        (value, due)
        for value in contract.values
        if (due := contract.due(value)) is not None and not validated.is_always_sent(value)
    ]
    if not expected:
        return
    counts = ", ".join(f"count({value.sent}), {_count_lacking(value.sent, due)}" for value, due in expected)
    rows = contract.typed(f"(select * from {_ROWS})")  # noqa: S608 - names quoted, conditions checked
    found = validated.connection.execute(f"select __part, {counts} from {rows} group by __part").fetchall()  # noqa: S608
    for number, (value, _) in enumerate(expected):
        there = {row[0]: row[1 + 2 * number] for row in found}
        lacking = {row[0]: row[2 + 2 * number] for row in found}
        if not all(there[day] for day, rows in lacking.items() if rows):
            named = _days_that_name(validated, value)
            there = {day: there[day] + (day in named) for day in there}
            days = _suspicious(there, lacking, least)
            few = _suspicious(there, lacking, 1, partial(loaded.had, value.name))
            if days := sorted({*days, *few}):
                yield value, days


def _count_lacking(sent: str, due: str) -> str:
    if due == "true":
        return f"count(*) - count({sent})"
    return f"count(*) filter (where {sent} is null and ({due}))"


def _unusable(validated: ValidatedRows, loaded: _Loaded) -> Iterator[tuple[Value, list[dt.date]]]:
    """Yield each column whose values all became null because they are bad, with the days of that."""
    least = _least(validated)
    for value in validated.contract.values:
        if value.added or not value.lenient or value.column.on_bad:
            continue
        bad = {
            day: sum(n for reason, n in found.nulled.items() if _is_about(reason, value.name))
            for day, found in validated.counts.items()
        }
        if not any(bad.values()):
            continue
        rows = validated.contract.typed(f"(select * from {_ROWS} and __fate = 'good')")  # noqa: S608
        good = validated.connection.execute(
            f"select __part, count({quoted(value.name)}) from {rows} group by __part"  # noqa: S608
        )
        there = dict(good.fetchall())
        days = _suspicious(there, bad, least)
        few = _suspicious(there, bad, 2, partial(loaded.had, value.name))
        if days := sorted({*days, *few}):
            yield value, days


class _Loaded:
    """What is loaded of a table, to compare few rows with."""

    def __init__(self, ref: str, table: SourceTable) -> None:
        self._ref, self._table, self._has_days = ref, table.raw_table, table.has_days

    def find_new(self, fields: Collection[str]) -> list[str]:
        """Return those of `fields` that the table has no column for."""
        if not read.exists(self._ref, self._table):
            return list(fields)
        there = read.load_table(self._ref, self._table).schema().column_names
        return [field for field in fields if column_name(field) not in there]

    def had(self, column: str, lacking: Days) -> list[dt.date]:
        """Return the days of `lacking` rows without a column that the rows loaded before had.

        These are rows of the same day, or of those before it, if so many can hardly lack it by chance.
        """
        if not self._has_days or not read.exists(self._ref, self._table):
            return []
        if column not in read.load_table(self._ref, self._table).schema().column_names:
            return []
        window = Window.of_days(min(lacking) - _BEFORE, max(lacking))
        rows = read.scan(self._ref, self._table, columns=[PARTITION_COLUMN, column], window=window)
        total, filled = Counter(rows[PARTITION_COLUMN].to_pylist()), Counter[dt.date]()
        filled.update(rows.filter(pc.is_valid(rows[column]))[PARTITION_COLUMN].to_pylist())
        missing = []
        for day in lacking:
            earlier = [other for other in total if other < day]
            of, had = (sum(counts[other] for other in earlier) for counts in (total, filled))
            chance = ((of - had + 1) / (of + 2)) ** sum(lacking.values())
            if filled[day] or (of == had >= LEAST) or chance < _CHANCE:
                missing.append(day)
        return missing


def _suspicious(
    there: Days, lacking: Days, least: int, confirm: Callable[[Days], list[dt.date]] = sorted
) -> list[dt.date]:
    """Return the days on which nothing is there and enough is lacking, in the day or in the whole load."""
    everywhere = not sum(there.values()) and sum(lacking.values()) >= least
    found = {
        day: rows
        for day, rows in lacking.items()
        if rows and not there.get(day) and (everywhere or rows >= least)
    }
    return sorted(confirm(found)) if found else []


def _days_that_name(validated: ValidatedRows, value: Value) -> set[dt.date]:
    """Return the days of rows that have the field, if only as an explicit null."""
    if typed := validated.contract.rows:
        return set(validated.counts) if typed.find(value.keys) else set()
    exists = f"json_exists({PAYLOAD}, {json_path(value.keys)})"
    rows = f"judged join raw using (_seq) where __json and __fate <> 'outside' and {exists}"
    return {day for (day,) in validated.connection.execute(f"select distinct __part from {rows}").fetchall()}  # noqa: S608


def _unknown(validated: ValidatedRows, value: Value, days: Collection[dt.date]) -> list[str]:
    """Return the fields that no column takes, of rows of `days`, where the field of `value` was expected."""
    dates = ", ".join(f"date '{day}'" for day in days)
    declared = {other.keys for other in validated.contract.values if not other.added}
    if typed := validated.contract.rows:
        taken_names = {name for keys in declared for name in (keys[0], ".".join(keys))}
        return [name for name in typed.schema.names if name not in taken_names][:_SHOWN]
    for depth in range(len(value.keys) - 1, -1, -1):
        above = value.keys[:depth]
        keys = f"json_keys({PAYLOAD}, {json_path(above)})"
        rows = f"judged join raw using (_seq) where __json and __fate <> 'outside' and __part in ({dates})"
        sql = f"select distinct unnest({keys}) as field from {rows} order by field"  # noqa: S608 - quoted
        if found := [(*above, field) for (field,) in validated.connection.execute(sql).fetchall()]:
            taken = {path[: depth + 1] for path in declared}
            return [".".join(path) for path in found if path not in taken][:_SHOWN]
    return []


def _find_new_name(path: str, fields: list[str], *, alone: bool) -> str | None:
    """Return which new field the missing one at `path` probably is: the only one, or the one most like it."""
    if alone and len(fields) == 1:
        return fields[0]
    return next(iter(difflib.get_close_matches(path, fields, n=1)), None)


def _describe_type(validated: ValidatedRows, value: Value) -> str:
    """Return which type the source has for a column, of typed rows."""
    typed = validated.contract.rows
    found = typed.find(value.keys) if typed else None
    kind = column_type(found[1]) if found else None
    return f"; it is {value.column.type} in the spec, {kind} in the source" if kind else ""


def _least(validated: ValidatedRows) -> int:
    return max(LEAST, validated.contract.table.quarantine.least)


def _is_about(reason: str, column: str) -> bool:
    return reason.split(" ", 1)[0] == column
