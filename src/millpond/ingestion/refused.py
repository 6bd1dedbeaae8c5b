"""Rows of days that were refused: all of them, kept in a table of their own until the day is loaded.

That table never holds a row of a day as it is loaded, so nothing that counts `quarantine.<table>` sees it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa

from millpond.errors import FieldsMissing, FieldsUnknown, MillpondError, TimesUnreadable, TooManyBadRows
from millpond.ingestion.schema import QUARANTINE, make_spec
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import ValidatedRows
from millpond.lake import read
from millpond.lake.hashing import Digest, Digests
from millpond.lake.most_rows import MostRows
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.naming import ref_option
from millpond.partitions import Window, contiguous
from millpond.redaction import redacted

REFUSALS: Final = (TooManyBadRows, FieldsMissing, FieldsUnknown, TimesUnreadable)
"""Why all rows of a day are there and none is loaded."""
_NAME_LENGTH: Final = 54
_COLUMNS: Final = {
    **QUARANTINE,
    "reason": (pa.string(), "Rules of the contract that the row broke; null where it broke none"),
    "refused": (pa.string(), "Why the day was refused"),
    "origin": (pa.string(), "Where the row comes from, without credentials"),
    "types": (pa.string(), "Types of typed fields that the spec does not name, as a JSON object"),
    "position": (pa.int64(), "Place of the row in the order in which the source served the day"),
}


class RowsChanged(Exception):
    """Rows are not those any more that a decision about them was made from."""


def keeps_refused(table: SourceTable) -> bool:
    """Return whether rows of refused days are kept: where a load replaces days, so that they are its own."""
    return table.has_days and table.writes == "replace"


def refused_table(table: SourceTable) -> str:
    """Return the name of the lake's table with the rows of refused days."""
    return name_refused_table(table.quarantine_table)


def name_refused_table(quarantine: str) -> str:
    """Return the name of the table with the rows of refused days, beside the table `quarantine`."""
    layer, name = quarantine.split(".")
    return f"{layer}.{name[:_NAME_LENGTH]}__refused"


def refused_spec(table: SourceTable) -> TableSpec:
    """Return that table as the lake declares it."""
    kept = f"All rows of the days of {table.raw_table} that were refused"
    return make_spec(refused_table(table), _COLUMNS, ("position",), (), kept, days=True)


@dataclass(frozen=True)
class RefusedDays:
    """The refused days of `table` on `ref`, as one load from `origin` changes them.

    `fetched_at` is when their rows were fetched, where that is not now. With `found`, what they held when
    they were read, RowsChanged is raised and nothing written if they hold anything else by now.
    """

    table: SourceTable
    ref: str
    run_id: str
    origin: str
    fetched_at: dt.datetime | None = None
    found: Digests | None = None

    def keep(self, validated: ValidatedRows, failed: Mapping[dt.date, MillpondError]) -> None:
        """Keep all rows of the days that `failed` says were refused, in place of those kept before."""
        if not keeps_refused(self.table):
            return
        counts, at = validated.counts, self.fetched_at or dt.datetime.now(dt.UTC)
        why = {
            day: redacted(error.what)
            for day, error in failed.items()
            if isinstance(error, REFUSALS) and counts[day].rows > counts[day].outside
        }
        for days in contiguous(why):
            rows = validated.every(days, {day: why[day] for day in days.days}, self.origin, self.run_id, at)
            replace([self._replacement(rows, days)], ref=self.ref, run_id=self.run_id)

    def forget(self, days: Window) -> list[Replacement]:
        """Return what empties `days`, for the write that loads them."""
        if not read.exists(self.ref, refused_table(self.table)):
            return []
        return [self._replacement(refused_spec(self.table).schema.empty_table(), days)]

    def _replacement(self, rows: pa.Table | list, days: Window) -> Replacement:  # type: ignore[type-arg]
        check = None if self.found is None else partial(refuse_changes, self.found, days)
        return Replacement(refused_spec(self.table), rows, days, check)


def refuse_changes(found: Digests, days: Window, before: Digests, after: Digests, _: MostRows) -> None:
    """Raise RowsChanged if `days` do not hold what was `found`, nor already what they are to hold."""
    for day in days.days:
        now = before.get(day, Digest())
        if now not in (found.get(day, Digest()), after.get(day, Digest())):
            raise RowsChanged(str(day))


def replay_advice(table: SourceTable, days: Window, ref: str) -> str:
    """Return, after a semicolon, the commands that show the rows of refused days and load them after a fix.

    Nothing if these rows are not kept.
    """
    if not keeps_refused(table):
        return ""
    where = f"{table.asset} {days.option}{ref_option(ref)}"
    return (
        f"; `millpond quarantine show {where}` shows the rows, which are kept;"
        f" `millpond quarantine replay {where}` loads them after a change of the spec"
    )
