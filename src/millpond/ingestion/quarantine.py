"""Rows in quarantine as they are stored: which rules they broke, how many there are, the rows themselves.

A rule is called `column:kind` (`sgv:type`, `sgv:max`), whatever its reason reads like; what is wrong with a
row as such belongs to the column `row`.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from millpond.ingestion.contract import SEPARATOR
from millpond.ingestion.refused import refused_table
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.unknown_fields import NOT_DECLARED
from millpond.lake import read
from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window

OTHER_DAY: Final = "is of another day"
"""What is wrong with the time of a row that was replayed with other days than its own."""
_KINDS: Final = (
    ("row is larger", "size"),
    (" JSON", "json"),
    (" is missing", "missing"),
    (" is below ", "min"),
    (" is above ", "max"),
    (" is none of the allowed", "allowed"),
    (" NUL character", "nul"),
    (f" {OTHER_DAY}", "day"),
    (f" {NOT_DECLARED}", "unknown"),
)
"""Parts of reasons, in the order they are looked for; any other reason is that the type is wrong."""

_COUNTED: Final = (PARTITION_COLUMN, "reason")


@dataclass(frozen=True)
class RuleCount:
    """How many rows of a day broke a rule; a row that broke two counts for both.

    `refused` says why the day was refused; None for the day as it is loaded. `rule` is None for the rows of a
    refused day that broke none.
    """

    asset: str
    day: dt.date
    rule: str | None
    rows: int
    loaded_at: dt.datetime
    refused: str | None


@dataclass(frozen=True)
class StoredRow:
    """A row in quarantine: where it belongs, why it is there, and what the source sent."""

    day: dt.date
    rules: list[str]
    reason: str | None
    row_key: str | None
    payload: str
    refused: bool


def rules_of(reason: str | None) -> list[str]:
    """Return the names of the rules that `reason` is about."""
    return list(dict.fromkeys(_rule(part) for part in reason.split(SEPARATOR))) if reason else []


def matches(rule: str, reason: str | None) -> bool:
    """Return whether `reason` is about `rule`, which may be a column alone."""
    return any(rule in (name, name.partition(":")[0]) for name in rules_of(reason))


def select_rule(rows: pa.Table, rule: str | None) -> pa.ChunkedArray:
    """Return for each row whether it broke `rule`; without one, true for all."""
    reasons = rows["reason"]
    if rule is None:
        return pa.chunked_array([pa.repeat(True, rows.num_rows)])
    found = [each for each in pc.unique(reasons).to_pylist() if matches(rule, each)]
    return pc.fill_null(pc.is_in(reasons, pa.array(found, pa.string())), False)


def read_quarantine(table: SourceTable, ref: str, window: Window | None = None) -> pa.Table:
    """Return the quarantined rows of the days of `table` as they are loaded."""
    return _read(ref, table.quarantine_table, window)


def read_refused(table: SourceTable, ref: str, window: Window | None = None) -> pa.Table:
    """Return all rows of the days of `table` that were refused."""
    return _read(ref, refused_table(table), window)


def count_chosen(table: SourceTable, ref: str, window: Window | None, rule: str | None) -> dict[dt.date, int]:
    """Return how many rows of each day a replay or discard of `rule`, or of all rules, is about.

    Of a day that was refused these are the rows kept for that, those that broke no rule included.
    """
    found: Counter[dt.date] = Counter()
    for name in (refused_table(table), table.quarantine_table):
        rows = _read(ref, name, window, _COUNTED)
        days = Counter(rows.filter(select_rule(rows, rule))[PARTITION_COLUMN].to_pylist())
        found.update({day: number for day, number in days.items() if day not in found})
    return dict(found)


def count_rules(tables: Iterable[SourceTable], ref: str, window: Window | None = None) -> list[RuleCount]:
    """Return how many rows broke which rule on which day, by table and day."""
    return [found for table in tables for found in sorted(_counts(table, ref, window), key=_order)]


def list_rows(table: SourceTable, ref: str, window: Window | None, rule: str | None) -> Iterator[StoredRow]:
    """Yield the rows in quarantine, by day; of refused days those that broke a rule."""
    for refused, rows in (
        (False, read_quarantine(table, ref, window)),
        (True, read_refused(table, ref, window)),
    ):
        if not rows.num_rows:
            continue
        chosen = rows.filter(pc.and_(select_rule(rows, rule), pc.is_valid(rows["reason"])))
        for row in chosen.sort_by([(PARTITION_COLUMN, "ascending"), ("reason", "ascending")]).to_pylist():
            reason = row["reason"]
            yield StoredRow(
                *(row[PARTITION_COLUMN], rules_of(reason), reason),
                *(row["row_key"], row["payload"], refused),
            )


def _counts(table: SourceTable, ref: str, window: Window | None) -> Iterator[RuleCount]:
    for name, why in ((table.quarantine_table, []), (refused_table(table), ["refused"])):
        rows = _read(ref, name, window, (*_COUNTED, "_loaded_at", *why))
        if not rows.num_rows:
            continue
        groups = rows.group_by([PARTITION_COLUMN, "reason", *why])
        counts: dict[tuple[dt.date, str | None, str | None], tuple[int, dt.datetime]] = {}
        for found in groups.aggregate([("_loaded_at", "max"), ([], "count_all")]).to_pylist():
            for name in rules_of(found["reason"]) or [""]:
                rule = name or None
                place = (found[PARTITION_COLUMN], rule, found.get("refused"))
                number, newest = counts.get(place, (0, found["_loaded_at_max"]))
                counts[place] = (number + found["count_all"], max(newest, found["_loaded_at_max"]))
        for (day, rule, refused), (number, newest) in counts.items():
            yield RuleCount(table.asset, day, rule, number, newest, refused)


def _order(found: RuleCount) -> tuple[dt.date, bool, str]:
    return found.day, found.refused is not None, found.rule or "~"


def _read(ref: str, name: str, window: Window | None, columns: tuple[str, ...] | None = None) -> pa.Table:
    if read.exists(ref, name):
        return read.scan(ref, name, columns=columns, window=window)
    return pa.table({"reason": pa.array([], pa.string()), PARTITION_COLUMN: pa.array([], pa.date32())})


def _rule(reason: str) -> str:
    column = reason.partition(" ")[0]
    return f"{column}:{next((kind for part, kind in _KINDS if part in reason), 'type')}"
