"""What became of the rows of a load: counts per day, and the good and the bad rows themselves."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from millpond.ingestion.column_rules import NO_VALUE, Value
from millpond.ingestion.contract import Contract
from millpond.ingestion.json_sql import BLANKS
from millpond.ingestion.memory_rows import append_columns, find_columns
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.schema import lake_tables
from millpond.naming import LINEAGE_COLUMNS, PARTITION_COLUMN, literal, quoted
from millpond.partitions import Window, contiguous

ROWS_IN_MEMORY = 500_000
"""More rows than this are handed on as Parquet files."""


@dataclass
class Counts:
    """What became of the rows that the source served for a day; `bytes` is the size of their JSON.

    `reasons` counts bad rows by the rules they broke, `nulled` bad values of good rows that became null by
    column and reason, `no_value` codes for "no value" by column; `fatal` are rules that fail the day.
    `undated` of the bad rows have no readable time, and may belong to another day.
    """

    good: int = 0
    bad: int = 0
    duplicate: int = 0
    outside: int = 0
    undated: int = 0
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    nulled: dict[str, int] = field(default_factory=dict)
    no_value: dict[str, int] = field(default_factory=dict)
    fatal: set[str] = field(default_factory=set)

    def note_null(self, reason: str, values: int) -> None:
        """Count `values` of good rows that became null, as `reason` says why."""
        column = reason.removesuffix(f" {NO_VALUE}")
        counts, name = (self.nulled, reason) if column == reason else (self.no_value, column)
        counts[name] = counts.get(name, 0) + values

    @property
    def rows(self) -> int:
        """All rows that the source served."""
        return self.good + self.bad + self.duplicate + self.outside


@dataclass(frozen=True)
class ValidatedRows:
    """The judged rows of a load, readable while its connection is open."""

    connection: duckdb.DuckDBPyConnection
    contract: Contract
    folder: Path
    counts: dict[dt.date, Counts]
    of_other_days: int = 0
    """Rows of days that were not asked for, which are left out."""
    leave_out: frozenset[dt.date] = frozenset()
    """Days whose rows are written nowhere."""
    held: pa.Table | None = None
    """The rows in memory, in order, with the values that were computed of them."""
    undated: bool = False
    """Whether table `undated` has rows without a time."""

    def is_always_sent(self, value: Value) -> bool:
        """Return whether each row is known to have sent a value."""
        if self.held is None:
            return False
        names = {value.sent, value.sent.strip('"')}.intersection(self.held.column_names)
        return any(not self.held[name].null_count for name in names)

    def good(self, window: Window, run_id: str, loaded_at: dt.datetime) -> pa.Table | list[Path]:
        """Return the good rows of `window`, typed, with lineage columns."""
        any_null = any(found.nulled or found.no_value for found in self.counts.values())
        if self.held is not None and not any_null and self._are_all_good(self.held, window):
            return self._complete(self.held, run_id, loaded_at)
        rows = f"{self.contract.strict('judged')} where __fate = 'good'"
        return self._rows(self.contract.loaded(any_null=any_null), rows, window, run_id, loaded_at)

    def _are_all_good(self, held: pa.Table, window: Window) -> bool:
        good = sum(found.good for day, found in self.counts.items() if day in window)
        return good == len(held) <= ROWS_IN_MEMORY and not held["__day"].null_count and not self.leave_out

    def _complete(self, held: pa.Table, run_id: str, loaded_at: dt.datetime) -> pa.Table:
        """Return all of the `held` rows, typed, with lineage columns: those in memory as they are there."""
        values = {value.name: value.loose() for value in self.contract.values}
        if self.contract.table.has_days:
            values[PARTITION_COLUMN] = "__day"
        columns = dict(zip(values, find_columns(held, list(values.values())), strict=True))
        if lacking := [name for name in values if columns[name] is None]:
            picked = ", ".join(f"{values[name]} as {quoted(name)}" for name in lacking)
            rows = self.contract.strict("split")
            found = self.connection.execute(f"select _seq, {picked} from {rows}").to_arrow_table()  # noqa: S608
            found = append_columns(held.select(["_seq"]), found)
            columns |= {name: found[name] for name in lacking}
        constants = (pa.scalar(run_id), pa.scalar(loaded_at, pa.timestamp("us", "UTC")))
        for name, value in zip(LINEAGE_COLUMNS[1:], constants, strict=True):
            columns[name] = pa.repeat(value, len(held))
        return pa.table(columns)

    def bad(self, window: Window, run_id: str, loaded_at: dt.datetime) -> pa.Table | list[Path]:
        """Return the rows of `window` that broke the contract: key, reason, payload, with lineage columns."""
        if not self._sum(window, "bad"):
            _, quarantine = lake_tables(self.contract.table)
            return quarantine.schema.empty_table()
        rows = "judged join raw using (_seq) where __fate = 'bad'"
        return self._rows(self._as_served(), rows, window, run_id, loaded_at)

    def _sum(self, window: Window, what: str) -> int:
        return sum(getattr(found, what) for day, found in self.counts.items() if day in window)

    def every(
        self, window: Window, why: Mapping[dt.date, str], origin: str, run_id: str, loaded_at: dt.datetime
    ) -> pa.Table | list[Path]:
        """Return all rows of `window`, which is not loaded: as `bad` does, in the order they were served.

        `why` says of each day why it was refused, `origin` where its rows come from.
        """
        whens = "".join(f" when date '{day}' then {literal(text)}" for day, text in why.items())
        columns = (
            f"{self._as_served()}, case __part{whens} end as refused, {literal(origin)} as origin,"
            f" {literal(json.dumps(self.contract.added_types))} as types,"
            " row_number() over (partition by __part order by _seq) as position"
        )
        rows = "judged join raw using (_seq) where __fate <> 'outside'"
        return self._rows(columns, rows, window, run_id, loaded_at)

    def _as_served(self) -> str:
        limit = self.contract.table.quarantine.max_row_bytes
        return f"__key as row_key, __reason as reason, left(trim({PAYLOAD}, {BLANKS}), {limit}) as payload"

    def _rows(
        self, columns: str, rows: str, window: Window, run_id: str, loaded_at: dt.datetime
    ) -> pa.Table | list[Path]:
        values = ("__part", literal(run_id), f"timestamptz '{loaded_at.isoformat()}'")
        lineage = ", ".join(
            f"{value} as {quoted(name)}"
            for value, name in zip(values, LINEAGE_COLUMNS, strict=True)
            if self.contract.table.has_days or name != PARTITION_COLUMN
        )
        days = f"__part >= date '{window.start}' and __part < date '{window.end}'"
        for part in contiguous(day for day in self.leave_out if day in window):
            days += f" and not (__part >= date '{part.start}' and __part < date '{part.end}')"
        sql = f"select {columns}, {lineage} from {rows} and {days}"  # noqa: S608 - names quoted, values literal
        if self._sum(window, "rows") <= ROWS_IN_MEMORY:
            return self.connection.execute(sql).to_arrow_table()
        file = self.folder / f"{len(list(self.folder.glob('*.parquet')))}.parquet"
        self.connection.execute(f"copy ({sql}) to {literal(str(file))} (format parquet)")
        return [file]
