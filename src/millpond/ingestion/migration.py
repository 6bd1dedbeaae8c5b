"""Converts the rows of a raw table to the declared types of its columns, in one commit or not at all."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow.compute as pc

from millpond import crash_points
from millpond.errors import PartitionConflict, SchemaConflict
from millpond.ingestion.refused import RowsChanged
from millpond.ingestion.results import LoadResult, PartitionResult
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.staging import open_staging_folder
from millpond.ingestion.type_changes import StagedTable, TypeChange, find_type_changes, stage_table
from millpond.ingestion.validated_rows import Counts
from millpond.lake import home_zone, read
from millpond.lake.hashing import Digest, Digests, combine_digests, compute_digests, hash_digests
from millpond.lake.metadata import read_summary
from millpond.lake.spec import Replacement, Written
from millpond.lake.tables import replace as write
from millpond.lake.windows import WHOLE
from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window, today
from millpond.settings import settings

_ATTEMPTS: Final = 5

Previous = Mapping[dt.date, Mapping[str, Any]]
"""The metadata of the newest load of each day, with its `contract`, and whether it was `unfinished`."""


def plan_migration(table: SourceTable, ref: str) -> list[TypeChange]:
    """Return the columns that `migrate` would convert, with the values that it would lose."""
    changes = find_type_changes(table, ref)
    if not changes:
        return []
    with (
        open_staging_folder(settings().staging, f"{table.name}-plan") as folder,
        stage_table(table, ref, folder, settings().zone) as staged,
    ):
        return staged.count_losses(changes)


def find_days(table: SourceTable, ref: str) -> Window | None:
    """Return the days from the first to the last that the raw table has rows of; None where it has none."""
    if not read.exists(ref, table.raw_table):
        return None
    days = pc.min_max(read.scan(ref, table.raw_table, columns=[PARTITION_COLUMN])[PARTITION_COLUMN]).as_py()
    first = max(days["min"] or settings().start_date, settings().start_date)
    last = min(days["max"] or first, today(settings().zone))
    return Window.of_days(first, last) if days["min"] and first <= last else None


def find_last_migration(table: SourceTable, ref: str) -> str | None:
    """Return the run that converted the raw table last; None where none did."""
    if not read.exists(ref, table.raw_table):
        return None
    snapshots = read.load_table(ref, table.raw_table).metadata.snapshots
    for snapshot in sorted(snapshots, key=lambda each: each.sequence_number or 0, reverse=True):
        if read_summary(snapshot, "millpond.window") == WHOLE:
            return read_summary(snapshot, "millpond.run_id")
    return None


def migrate(table: SourceTable, previous: Previous, *, ref: str, run_id: str) -> LoadResult:
    """Convert all rows of the raw table to the declared types; return each day that has rows or was loaded.

    Where nothing is to be converted, these are the days that are not as `previous` says: a run that was
    killed after it wrote did not record them. Raises SchemaConflict, and writes nothing, if a value would be
    lost; PartitionConflict if others go on changing the table; LakeError.
    """
    home_zone.refuse_other_zone()
    began, changes = time.perf_counter(), find_type_changes(table, ref)
    if changes:
        written, digests = _convert(table, changes, ref, run_id)
        days = sorted({*written.day_hashes, *previous})
    else:
        written, digests = _read_written(table, ref)
        versions = {
            day: written.day_hashes.get(day, Digest().hex) for day in {*written.day_hashes, *previous}
        }
        days = sorted(day for day, now in versions.items() if previous.get(day, {}).get("version") != now)
    crash_points.reached("ingestion.migrated")
    contracts = {table.contract_version, *_former_contracts(table, changes)}
    seconds = (time.perf_counter() - began) / max(1, len(days))
    results = [
        _result(day, digests.get(day, Digest()).rows, written, previous.get(day, {}), contracts, seconds)
        for day in days
    ]
    return LoadResult(results, {}, time.perf_counter() - began)


def _convert(
    table: SourceTable, changes: Sequence[TypeChange], ref: str, run_id: str
) -> tuple[Written, Digests]:
    raw, _ = lake_tables(table)
    for _ in range(_ATTEMPTS):
        location = read.load_table(ref, raw.name).metadata_location
        with (
            open_staging_folder(settings().staging, f"{table.name}-migrate") as folder,
            stage_table(table, ref, folder, settings().zone) as staged,
        ):
            _refuse_losses(table, staged, changes)
            file = staged.convert(changes, folder / "converted.parquet")
            found: Digests = {}

            def check(before: Digests, after: Digests, _: object) -> None:  # noqa: ARG001
                if read.load_table(ref, raw.name).metadata_location != location:  # noqa: B023
                    raise RowsChanged(raw.name)
                found.update(after)  # noqa: B023

            try:
                (written,) = write(
                    [Replacement(replace(raw, exact=True), [file], None, check)], ref=ref, run_id=run_id
                )
            except RowsChanged:
                continue
            return written, found
    raise PartitionConflict(
        f"{table.asset}: others changed the table each of the {_ATTEMPTS} times it was read",
        unharmed="the table; nothing of this migration was written",
        next_step="repeat it when the other runs are done",
    )


def _refuse_losses(table: SourceTable, staged: StagedTable, changes: Sequence[TypeChange]) -> None:
    lost = [each for each in staged.count_losses(changes) if each.lost]
    if not lost:
        return
    shown = "; ".join(
        f"{each.lost:,} of {each.values:,} values of {each.column} ({each.before}) are no exact {each.after}:"
        f" {', '.join(map(repr, each.samples))}"
        for each in lost
    )
    raise SchemaConflict(
        f"{table.asset}: {shown}",
        unharmed="the table; nothing of it was written",
        next_step="declare a type that holds these values, or `no_value` if they are codes that mean none;"
        f" `millpond sources migrate {table.asset} --dry-run` shows what it would do",
    )


def _read_written(table: SourceTable, ref: str) -> tuple[Written, Digests]:
    """Return what the table has, as the write that is there already reported it."""
    name = table.raw_table
    digests = combine_digests(
        compute_digests(piece, PARTITION_COLUMN) for piece in read.scan_pieces(ref, name)
    )
    snapshot = read.load_table(ref, name).current_snapshot()
    rows = sum(each.rows for each in digests.values())
    hashes = {day: each.hex for day, each in digests.items() if day}
    return (
        Written(
            name, False, rows, 0, snapshot.snapshot_id if snapshot else None, hash_digests(digests), hashes
        ),
        digests,
    )


def _former_contracts(table: SourceTable, changes: Sequence[TypeChange]) -> set[str]:
    """Return the versions of the contracts that differ from that of `table` only by what was converted.

    A column of text may not have been declared before.
    """
    before = {each.column: each.before for each in changes}
    typed = {
        name: column.model_copy(update={"type": before[name]}) if name in before else column
        for name, column in table.columns.items()
    }
    fewer = {name: column for name, column in typed.items() if before.get(name) != "string"}
    return {table.model_copy(update={"columns": each}).contract_version for each in (typed, fewer)}


def _result(
    day: dt.date,
    rows: int,
    written: Written,
    before: Mapping[str, Any],
    contracts: set[str],
    seconds: float,
) -> PartitionResult:
    """Return the result of a day: what its newest load counted, its rows now, and its new content."""
    counts = Counts(
        good=before.get("rows_loaded", rows),
        bad=before.get("rows_quarantined", 0),
        duplicate=before.get("duplicates_dropped", 0),
        outside=before.get("rows_outside_window", 0),
        bytes=before.get("bytes", 0),
        reasons=before.get("quarantine_reasons") or {},
        nulled=before.get("nulled_reasons") or {},
        no_value=before.get("no_value_columns") or {},
    )
    discarded = before.get("rows_discarded", 0)
    return replace(
        PartitionResult.of(day, counts, written, seconds),
        partition=day,
        content_hash=written.day_hashes.get(day, Digest().hex),
        rows_in_source=counts.rows + discarded,
        discarded=discarded,
        rows_in_partition=rows,
        unfinished=bool(before.get("unfinished")),
        partly=before.get("contract") not in contracts,
    )
