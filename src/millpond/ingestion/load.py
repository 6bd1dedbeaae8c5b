"""Loads a window of a table: fetched, judged, and written with one commit per run of whole days."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from millpond import crash_points
from millpond.errors import DayLeftOut, MillpondError, RowsHeldBack, RowsUnaccounted, SchemaConflict
from millpond.ingestion.files.other_days import warn_of_other_days
from millpond.ingestion.guard import Guard
from millpond.ingestion.left_out import choose
from millpond.ingestion.reader import FetchResult, open_reader
from millpond.ingestion.refusals import find_refused_days
from millpond.ingestion.refused import RefusedDays
from millpond.ingestion.rest.outside import shrink_rule
from millpond.ingestion.rest.reach import keep_as_loaded, note_kept_days
from millpond.ingestion.results import WHOLE, LoadResult, PartitionResult
from millpond.ingestion.schema import MOST_ADDED, lake_tables, name_added_columns
from millpond.ingestion.shrinkage import DaysShrank, DaysUnproven, Shrinkage, hold_back, plan_losses
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.staging import open_staging_folder
from millpond.ingestion.type_changes import advise_migration
from millpond.ingestion.upsert import upsert
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.ingestion.validation import validate_rows
from millpond.lake import read
from millpond.lake.held import release
from millpond.lake.tables import Replacement, Written
from millpond.lake.tables import replace as write
from millpond.naming import MAIN_REF, agree, pluralize
from millpond.partitions import Window, contiguous
from millpond.settings import settings

_log = logging.getLogger(__name__)


def load(
    source: SourceSpec,
    table: SourceTable,
    window: Window | None,
    *,
    ref: str,
    run_id: str,
    accept_shrink: bool = False,
    days_left_out: Mapping[dt.date, DayLeftOut] = MappingProxyType({}),
) -> LoadResult:
    """Make the raw and quarantine tables hold what the source has for `window`, day by day or not at all.

    `window` is None for a table without days, which is loaded whole. Of rows that are written by key, the
    result also has the days outside of `window` whose rows changed.
    Days that cannot be fetched or trusted are reported in the result; while the breaker of the source's host
    is open, these are all of them. So are days that would lose more of their rows than the spec's `shrink`
    allows, unless `accept_shrink`: their new rows are kept aside. Days of `days_left_out` are
    not loaded, and their rows are written nowhere, whatever day they come with.

    Raises ConfigError for what is not set, LakeError for what cannot be written.
    """
    configured, began, window = settings(), time.perf_counter(), window or WHOLE
    reader = open_reader(source, table, configured)
    guard = Guard(reader)
    if set(window.days) <= days_left_out.keys():
        return LoadResult([], choose(window, days_left_out), time.perf_counter() - began)
    if refused := guard.refusal(window):
        return LoadResult([], dict.fromkeys(window.days, refused), time.perf_counter() - began)
    with open_staging_folder(configured.staging, f"{table.name}-{window.start}-{window.last}") as folder:
        fetched = reader.fetch(window, configured.zone, folder)
        guard.note(fetched.errors, fetched.pages)
        days_refused = RefusedDays(table, ref, run_id, guard.origin.address)
        loaded = load_rows(
            source,
            table,
            window,
            fetched,
            days_refused,
            folder,
            record_origin=guard.record_origin,
            accept_shrink=accept_shrink,
            began=began,
            days_left_out=days_left_out,
        )
        if fetched.note_loaded and ref == MAIN_REF:
            fetched.note_loaded(set(window.days) - set(loaded.failed))
        return loaded


def load_rows(
    source: SourceSpec,
    table: SourceTable,
    window: Window,
    fetched: FetchResult,
    days_refused: RefusedDays,
    folder: Path,
    *,
    record_origin: Callable[[], None],
    accept_shrink: bool,
    began: float,
    days_left_out: Mapping[dt.date, DayLeftOut] = MappingProxyType({}),
) -> LoadResult:
    """Write the rows `fetched` for `window`, day by day or not at all; keep those of refused days aside.

    `record_origin` is called before the first rows of a day are loaded; `began` is the load's begin by
    `time.perf_counter`.
    """
    ref, zone = days_refused.ref, settings().zone
    added = find_added(table, fetched.fields, ref)
    with validate_rows(table, fetched, window, zone, added, folder / "judged") as validated:
        _reconcile(table, fetched, validated)
        validated = replace(validated, leave_out=frozenset(days_left_out))
        warn_of_other_days(table, validated.counts)
        refused = find_refused_days(source.source, table, fetched, validated, ref)
        failed = {day: error for day, error in refused.items() if day not in days_left_out}
        left_out = choose(window, days_left_out)
        crash_points.reached("ingestion.judged")
        if len(failed) < len(window):
            record_origin()
        shrinkage = Shrinkage(None if accept_shrink else shrink_rule(table), fetched.unproven)
        try:
            if table.writes != "replace":
                merged = _write_by_key(table, validated, window, failed, ref, days_refused.run_id, began)
                kept = [part for part in merged.partitions if part.partition not in left_out]
                return LoadResult(kept, {**merged.failed, **left_out}, merged.seconds)
            written, held_back = _write(
                table, validated, window, {**failed, **left_out}, shrinkage, days_refused
            )
        except SchemaConflict as error:
            raise advise_migration(table, error, ref) from error
        days_refused.keep(validated, failed)
        failed |= {**held_back, **left_out}
    if accept_shrink:
        note_kept_days(failed.values())
    seconds = time.perf_counter() - began
    share = seconds / len(window)
    loaded = [
        PartitionResult.of(day, validated.counts[day], written[day], share)
        for day in window.days
        if day not in failed
    ]
    return LoadResult(loaded, failed, seconds)


def find_added(table: SourceTable, fields: Collection[str], ref: str) -> dict[str, str]:
    """Return the columns (name → field) for fields that the spec does not name; warns of those left out."""
    if table.unknown_columns != "add":
        return {}
    added, left_out = name_added_columns(table, fields)
    if added and read.exists(ref, table.raw_table):
        there = read.load_table(ref, table.raw_table).schema().column_names
        added, left_out = name_added_columns(table, fields, there)
    if left_out:
        _log.warning(
            "%s: %d fields not loaded, as their names make no column or the table has %d columns that the"
            " spec does not name: %s",
            table.asset,
            len(left_out),
            MOST_ADDED,
            ", ".join(left_out[:20]),
        )
    return added


def _write(
    table: SourceTable,
    validated: ValidatedRows,
    window: Window,
    failed: Mapping[dt.date, MillpondError],
    shrinkage: Shrinkage,
    days_refused: RefusedDays,
) -> tuple[dict[dt.date, Written], dict[dt.date, MillpondError]]:
    """Write the days that did not fail; returns what was written, and why other days stay as they are."""
    ref, run_id, loaded_at = days_refused.ref, days_refused.run_id, dt.datetime.now(dt.UTC)
    raw, quarantine = lake_tables(table)
    written: dict[dt.date, Written] = {}
    held_back: dict[dt.date, MillpondError] = {}
    left = contiguous(day for day in window.days if day not in failed)
    if shrinkage.rule and (len(left) > 1 or shrinkage.unproven):
        certain = [day for part in left for day in part.days if day not in shrinkage.unproven]
        planned = plan_losses(table, shrinkage.rule, certain, validated.counts, ref) if certain else {}
        shrinkage = replace(shrinkage, planned=planned)
    while left:
        days = left.pop(0)
        place = days if table.has_days else None
        try:
            check = partial(shrinkage.check, days) if place else partial(shrinkage.check_whole, table)
            rows, *_ = write(
                [
                    Replacement(
                        raw, validated.good(days, run_id, loaded_at), place, check, shrinkage.keeping
                    ),
                    Replacement(quarantine, validated.bad(days, run_id, loaded_at), place),
                    *days_refused.forget(days),
                ],
                ref=ref,
                run_id=run_id,
            )
        except DaysShrank as shrank:
            held_back |= hold_back(table, validated, shrank, ref, run_id)
            left = contiguous(day for day in days.days if day not in shrank.days) + left
            continue
        except RowsHeldBack as whole:
            held_back |= dict.fromkeys(days.days, whole)
            continue
        except DaysUnproven as fewer:
            held_back |= dict.fromkeys(fewer.days, keep_as_loaded(table, fewer.days))
            left = contiguous(day for day in days.days if day not in fewer.days) + left
            continue
        written |= dict.fromkeys(days.days, rows)
    release(ref, table.raw_table, list(written))
    return written, held_back


def _write_by_key(
    table: SourceTable,
    validated: ValidatedRows,
    window: Window,
    failed: Mapping[dt.date, MillpondError],
    ref: str,
    run_id: str,
    began: float,
) -> LoadResult:
    """Merge all rows into the tables, or none if there is anything against any of them."""
    if failed:
        reason = next(iter(failed.values()))
        return LoadResult([], dict.fromkeys(window.days, reason), time.perf_counter() - began)
    counts = validated.counts
    merged = upsert(table, validated, window, ref=ref, run_id=run_id)
    seconds = time.perf_counter() - began
    share = seconds / len(window)
    results = [
        PartitionResult.by_key(day, counts.get(day, Counts()), merged, share)
        for day in sorted({*window.days, *merged.changed})
    ]
    return LoadResult(results, {}, seconds)


def _reconcile(table: SourceTable, fetched: FetchResult, validated: ValidatedRows) -> None:
    judged_rows = sum(counts.rows for counts in validated.counts.values()) + validated.of_other_days
    if judged_rows != fetched.rows:
        raise RowsUnaccounted(
            f"{table.asset}: the source served {pluralize(fetched.rows, 'row')}, {judged_rows}"
            f" {agree(judged_rows, 'were')} judged",
            unharmed="what was loaded before; nothing of this was written",
            next_step="this is a defect of Millpond: report it with the window and the spec",
        )
