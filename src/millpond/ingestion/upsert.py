"""Writes rows by key: changed rows take the place of earlier ones, also where they left another day.

The rows that came are merged in columns with those that the lake holds of the same keys and days; these days
are replaced in one commit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from millpond.errors import PartitionConflict
from millpond.ingestion.refused import RowsChanged
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import ROWS_IN_MEMORY, ValidatedRows
from millpond.lake import read
from millpond.lake import rows as lake_rows
from millpond.lake.hashing import Digest, Digests, combine_digests, compute_digests
from millpond.lake.most_rows import MostRows
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import Written, replace
from millpond.lake.windows import Windows
from millpond.naming import PARTITION_COLUMN, literal, quoted
from millpond.partitions import Window, contiguous

_ATTEMPTS: Final = 5


class _ChangedSince(Exception):
    """Another writer changed the rows after they were read."""


@dataclass(frozen=True)
class Merged:
    """What an upsert did: the days whose rows changed, and how many rows each day concerned holds now."""

    written: Written
    changed: list[dt.date]
    rows: dict[dt.date, int]


@dataclass(frozen=True)
class Settled:
    """Payloads of `days` that are validated again, and what quarantine held when they were read."""

    payloads: pa.ChunkedArray
    found: Digests
    days: Window

    def refuse_changes(self, now: Digests) -> None:
        """Raise RowsChanged if quarantine holds other rows of the days `now`."""
        if any(self.found.get(day, Digest()) != now.get(day, Digest()) for day in self.days.days):
            raise RowsChanged(str(self.days))


def upsert(
    table: SourceTable,
    validated: ValidatedRows,
    asked: Window,
    *,
    ref: str,
    run_id: str,
    settled: Settled | None = None,
) -> Merged:
    """Merge all good and bad rows into the raw and quarantine tables by key, in one commit.

    The days concerned are those of the rows that came, those that rows with their keys leave, and `asked`.

    A row takes the place of the one with its key, on whatever day that is, unless the table's `version` says
    that the one there is later; with `write: append` the one there stays. A key that is judged again leaves
    the quarantine, and so do rows that are `settled`. Raises LakeError, PartitionConflict.
    """
    now, counts = dt.datetime.now(dt.UTC), validated.counts
    days = Window.of_days(min(counts), max(counts))
    good, bad = validated.good(days, run_id, now), validated.bad(days, run_id, now)
    for _ in range(_ATTEMPTS):
        try:
            return _merge(table, asked, good, bad, validated, ref, run_id, settled)
        except _ChangedSince:
            continue
    raise PartitionConflict(
        f"{table.raw_table} on ref {ref} was changed by others each of the {_ATTEMPTS} times it was tried",
        unharmed="the table; nothing of this write is visible",
        next_step="repeat the run when the other writers are done",
    )


Rows: TypeAlias = pa.Table | Sequence[Path]


def _merge(
    table: SourceTable,
    asked: Window,
    good: Rows,
    bad: Rows,
    validated: ValidatedRows,
    ref: str,
    run_id: str,
    settled: Settled | None,
) -> Merged:
    raw, quarantine = lake_tables(table)
    rows = _Side(validated, "raw", raw, ref, table.key, asked, good)
    stays = "true"
    if table.writes == "upsert" and table.version:
        stays = f"there.{quoted(table.version)} > new.{quoted(table.version)}"
    elif table.writes == "upsert":
        stays = "false"
    merged = rows.merge(stays)
    validated.connection.execute(
        "create or replace temp table judged_keys as"
        " select distinct __key as row_key from judged where __key is not null"
    )
    payloads = settled.payloads if settled else pa.array([], pa.string())
    validated.connection.register("settled", pa.table({"payload": payloads}))
    rejected = _Side(validated, "bad", quarantine, ref, ("row_key",), asked, bad, "judged_keys")
    if settled:
        settled.refuse_changes(rejected.before)
    kept = rejected.merge("false")
    replacements = [
        Replacement(side.spec, found, Windows(tuple(contiguous(side.days))), side.refuse_newer)
        for side, found in ((rows, merged), (rejected, kept))
    ]
    written, _ = replace(replacements, ref=ref, run_id=run_id)
    pieces = lake_rows.Rows(raw.name, merged).raw_pieces()
    after = combine_digests(compute_digests(piece, PARTITION_COLUMN) for piece in pieces)
    changed = [day for day in sorted(rows.days) if rows.before.get(day) != after.get(day)]
    return Merged(written, changed, {day: after[day].rows if day in after else 0 for day in rows.days})


class _Side:
    """The rows of one table that a merge concerns: those that came, those there of their days and keys."""

    def __init__(
        self,
        validated: ValidatedRows,
        name: str,
        spec: TableSpec,
        ref: str,
        key: Sequence[str],
        asked: Window,
        new: Rows,
        leaving: str | None = None,
    ) -> None:
        """Read them; keys in the relation `leaving` are taken out, also if no row of theirs came."""
        self.spec, self._name, self._ref, self._key, self._leaving = spec, name, ref, key, leaving
        self._new, self._connection, self._folder = new, validated.connection, validated.folder
        self._show("new", new)
        self.before: Digests = {}
        days: list[tuple[dt.date]] = self._fetch(f"select distinct {PARTITION_COLUMN} from {name}_new")  # noqa: S608
        self._there = read.exists(ref, spec.name)
        if self._there:
            days += self._find_days_left(leaving or f"{name}_new")
        self.days = sorted({*asked.days, *(day for (day,) in days)})
        if self._there:
            window = Windows(tuple(contiguous(self.days)))
            self.before = self._store("there", read.scan_pieces(ref, spec.name, window=window))

    def _find_days_left(self, keys: str) -> list[tuple[dt.date]]:
        """Return the days of the rows there that have a key of the relation `keys`."""
        least = most = None
        if len(self._key) == 1:
            of = quoted(self._key[0])
            ((least, most),) = self._connection.execute(f"select min({of}), max({of}) from {keys}").fetchall()  # noqa: S608
        between = (self._key[0], least, most) if type(least) in {int, str} else None
        columns = [*self._key, PARTITION_COLUMN]
        pieces = read.scan_pieces(self._ref, self.spec.name, columns=columns, between=between)
        self._store("keys", pieces)
        return self._fetch(
            f"select distinct there.{PARTITION_COLUMN} from {self._name}_keys as there"  # noqa: S608
            f" where exists (select 1 from {keys} as k where {self._same('there', 'k')})"
        )

    def merge(self, stays: str) -> Rows:
        """Return all rows of the days; where `stays` holds of two with one key, the one there is kept."""
        name, new = self._name, f"{self._name}_new"
        if not self._there:
            return self._new
        there, same = f"{name}_there", self._same("there", "new")
        accepted = (
            f"select * from {new} as new where not exists"  # noqa: S608
            f" (select 1 from {there} as there where {same} and {stays})"
        )
        gone = f"exists (select 1 from accepted as new where {same})"  # noqa: S608
        if self._leaving:
            gone = f"exists (select 1 from {self._leaving} as k where {self._same('there', 'k')})"  # noqa: S608
            without = f"there.row_key is null and there.payload in (select payload from {new})"  # noqa: S608
            again = "there.payload in (select payload from settled)"
            gone = f"({gone} or ({without}) or {again})"
        return self._take(
            f"with accepted as ({accepted}) select * from {there} as there where not {gone}"  # noqa: S608
            " union all by name select * from accepted"
        )

    def refuse_newer(self, before: Digests, after: Digests, most: MostRows) -> None:  # noqa: ARG002
        """Raise if the table holds other rows of the days than were merged."""
        if {d: n for d, n in before.items() if n.rows} != {d: n for d, n in self.before.items() if n.rows}:
            raise _ChangedSince

    def _show(self, what: str, rows: Rows) -> None:
        if isinstance(rows, pa.Table):
            self._connection.register(f"{self._name}_{what}", rows)
            return
        files = ", ".join(literal(str(file)) for file in rows)
        self._connection.execute(
            f"create or replace temp view {self._name}_{what} as select * from read_parquet([{files}])"  # noqa: S608
        )

    def _store(self, what: str, pieces: Iterable[pa.Table]) -> Digests:
        """Store rows of the table, where they may go to disk; returns their digests."""
        found: list[Digests] = []
        for piece in pieces:
            self._connection.register("piece", piece)
            into = "insert into" if found else "create or replace temp table"
            self._connection.execute(f"{into} {self._name}_{what} {'' if found else 'as'} from piece")
            found.append(compute_digests(piece, PARTITION_COLUMN))
        self._connection.unregister("piece")
        return combine_digests(found)

    def _take(self, sql: str) -> Rows:
        """Return what `sql` selects; many rows as a file."""
        if isinstance(self._new, pa.Table) and sum(d.rows for d in self.before.values()) <= ROWS_IN_MEMORY:
            return self._connection.execute(sql).to_arrow_table()
        file = self._folder / f"merged-{self._name}.parquet"
        self._connection.execute(f"copy ({sql}) to {literal(str(file))} (format parquet)")
        return [file]

    def _same(self, one: str, other: str) -> str:
        return " and ".join(f"{one}.{quoted(name)} = {other}.{quoted(name)}" for name in self._key)

    def _fetch(self, sql: str) -> list[tuple[dt.date]]:
        return self._connection.execute(sql).fetchall()
