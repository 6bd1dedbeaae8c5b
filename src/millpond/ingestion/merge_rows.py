"""Judges rows in quarantine again, next to the loaded rows of their days: of one key the latest stays."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from millpond.ingestion.load import find_added
from millpond.ingestion.quarantine import OTHER_DAY
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.stored_rows import LOADED, by_day, contract_error, stage_loaded, stage_rows
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.ingestion.validation import count_fates, validate_rows
from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window
from millpond.settings import settings

_IS_LOADED: Final = f"(_seq & {LOADED} <> 0)"


@dataclass(frozen=True)
class Judged:
    """Which loaded rows stay, which rows join them, and which stay in quarantine with which reason.

    `duplicates` counts by day the rows, of either, that a row of the same key replaces.
    """

    stays: pa.Array
    good: pa.Table
    bad: pa.Table
    duplicates: Counter[dt.date] = field(default_factory=Counter)
    counts: Mapping[dt.date, Counts] = field(default_factory=dict)


def judge_again(
    table: SourceTable, rows: pa.Table, there: pa.Table, days: Window, folder: Path, ref: str, run_id: str
) -> Judged:
    """Judge the quarantined `rows` of `days`, of which `there` is loaded, by the contract of `table`.

    Raises ConfigError if the loaded rows have another key or time by this contract.
    """
    staged = stage_rows(table, rows, days, folder)
    typed = by_day(table, staged.fields, ref, {})
    added, zone = find_added(typed, staged.fields, ref), settings().zone
    both = replace(staged, files=[*staged.files, *stage_loaded(table, there, days, folder, ref)])
    with validate_rows(typed, both, days, zone, added, folder / "judged") as validated:
        connection = validated.connection
        stays = _find_kept(connection, table, there, days, ref)
        lost = there.filter(pc.invert(stays))
        connection.execute(f"delete from split where {_IS_LOADED}")  # noqa: S608 - ours
        counts = count_fates(connection, days, validated.contract.fatal, undated=validated.undated)
        found = ValidatedRows(connection, validated.contract, validated.folder, counts)
        good = found.good(days, run_id, dt.datetime.now(dt.UTC))
        if not isinstance(good, pa.Table):
            good = pa.concat_tables(pq.read_table(file) for file in good)
        duplicates = Counter({day: count.duplicate for day, count in counts.items()})
        duplicates.update(lost[PARTITION_COLUMN].to_pylist())
        return Judged(stays, good, _stay_in_quarantine(connection, table, rows), duplicates, counts)


def _find_kept(
    connection: duckdb.DuckDBPyConnection,
    table: SourceTable,
    there: pa.Table,
    days: Window,
    ref: str,
) -> pa.Array:
    """Return for each row of `there` whether no good row of the same key takes its place."""
    judged = connection.execute(
        f"""
        with winners as (
            select distinct __part, __key from judged
            where not {_IS_LOADED} and __fate = 'good' and __key is not null
        )
        select __part, __fate = 'outside' or __key is null,
               __fate = 'duplicate' and (__part, __key) in (select (__part, __key) from winners)
        from judged where {_IS_LOADED} order by _seq & {LOADED - 1}
        """  # noqa: S608 - ours
    ).fetchall()
    filed = there[PARTITION_COLUMN].to_pylist()
    if any(elsewhere or day != part for (part, elsewhere, _), day in zip(judged, filed, strict=True)):
        raise contract_error(
            table, days, ref, "by the contract as it is now, rows lie on another day or lack a key"
        )
    return pa.array([not replaced for *_, replaced in judged], pa.bool_())


def _stay_in_quarantine(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, rows: pa.Table
) -> pa.Table:
    """Return the rows that still break the contract, or are of a day that is not replayed."""
    judged = connection.execute(
        f"select __key, __part, __fate, __reason from judged order by _seq & {LOADED - 1}"  # noqa: S608
    ).to_arrow_table()
    outside = pc.equal(judged["__fate"], "outside")
    changed = {
        "row_key": judged["__key"],
        "reason": pc.if_else(outside, f"{table.event.column} {OTHER_DAY}", judged["__reason"]),
        PARTITION_COLUMN: pc.if_else(outside, rows[PARTITION_COLUMN], judged["__part"]),
    }
    for name, values in changed.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, values.cast(rows.schema.field(name).type))
    return rows.filter(pc.or_(outside, pc.equal(judged["__fate"], "bad")))
