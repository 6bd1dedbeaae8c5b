"""Replay: rows in quarantine are judged again by today's contract, and those that pass are loaded.

No request is sent: the payloads are in the lake. Rows of a day that is loaded join its rows; a day that was
refused is loaded whole, or refused again, as by a load of the same rows.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from millpond import crash_points
from millpond.errors import MillpondError, OriginChanged, PartitionConflict
from millpond.ingestion import origins
from millpond.ingestion.load import load_rows
from millpond.ingestion.merge_rows import Judged, judge_again
from millpond.ingestion.quarantine import read_quarantine, read_refused, select_rule
from millpond.ingestion.refused import RefusedDays, RowsChanged, refuse_changes, refused_spec
from millpond.ingestion.replay_by_key import replay_by_key
from millpond.ingestion.rest.outside import shrink_rule
from millpond.ingestion.results import LoadResult, PartitionResult
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.shrinkage import Shrinkage, count_rows
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.staging import open_staging_folder
from millpond.ingestion.stored_rows import by_day, contract_error, stage_rows
from millpond.ingestion.validated_rows import Counts
from millpond.lake import home_zone, read
from millpond.lake.hashing import compute_digests
from millpond.lake.spec import Replacement
from millpond.lake.tables import replace as write
from millpond.naming import PARTITION_COLUMN, ref_option
from millpond.partitions import Window, contiguous
from millpond.settings import settings

_ATTEMPTS: Final = 5
T = TypeVar("T")

Previous = Mapping[dt.date, Mapping[str, Any]]
"""The metadata of the newest load of each day, with its data `version`, and whether it was `unfinished`."""


@dataclass(frozen=True)
class Decision:
    """What is to become of rows in quarantine: those that broke `rule`, or all; `ref` is where they are."""

    rule: str | None
    ref: str
    run_id: str
    discard: bool = False


def replay(
    source: SourceSpec, table: SourceTable, window: Window, decision: Decision, previous: Previous
) -> LoadResult:
    """Load the rows of `window` that pass today's contract, each stretch of days in one commit.

    The others stay in quarantine with their new reason. With `discard`, the chosen rows are removed instead.
    Of a day that was refused the rows kept for that are meant, not those of the day as it is loaded.
    Days are reported that changed, or that are not as `previous` says. A day that is refused again fails.
    Raises PartitionConflict if others go on changing the days, OriginChanged, LakeError.
    """
    home_zone.refuse_other_zone()
    began, ref = time.perf_counter(), decision.ref
    results: list[PartitionResult] = []
    failed: dict[dt.date, MillpondError] = {}
    kept = read_refused(table, ref, window)
    refused = _days(kept.filter(select_rule(kept, decision.rule)))
    for days in contiguous(refused):
        done = _until_unchanged(table, days, partial(_settle_refused, source, table, days, decision))
        results += done.partitions
        failed |= done.failed
    by_key = table.writes != "replace" and not decision.discard
    settle = _settle_by_key if by_key else _settle_loaded
    for days in contiguous(_days_to_settle(table, window, decision, previous) - refused):
        work = partial(settle, table, days, decision, previous)
        results += _until_unchanged(table, days, work)
    seconds = time.perf_counter() - began
    share = round(seconds / len(window), 4)
    return LoadResult([replace(each, seconds=share) for each in results], failed, seconds)


def _settle_refused(source: SourceSpec, table: SourceTable, days: Window, decision: Decision) -> LoadResult:
    """Load refused `days` from their own rows, as a load does; or remove the chosen of these rows."""
    ref, run_id = decision.ref, decision.run_id
    kept = read_refused(table, ref, days)
    found = compute_digests(kept, PARTITION_COLUMN)
    if decision.discard:
        left = kept.filter(pc.invert(select_rule(kept, decision.rule)))
        check = partial(refuse_changes, found, days)
        write([Replacement(refused_spec(table), left, days, check)], ref=ref, run_id=run_id)
        return LoadResult([], {}, 0)
    if not kept.num_rows:
        return LoadResult([], {}, 0)
    fetched_at = pc.min(kept["_loaded_at"]).as_py()
    (address, *others) = pc.unique(kept["origin"]).to_pylist()
    days_refused = RefusedDays(table, ref, run_id, address, fetched_at, found)

    def record_origin() -> None:
        home_zone.record_zone()
        for each in (address, *others):
            _record_origin(source, table, days, each, ref)

    with open_staging_folder(settings().staging, f"{table.name}-replay") as folder:
        in_order = kept.sort_by([(PARTITION_COLUMN, "ascending"), ("position", "ascending")])
        staged = stage_rows(table, in_order, days, folder)
        done = load_rows(
            source,
            by_day(table, staged.fields, ref, _read_types(kept)),
            days,
            staged,
            days_refused,
            folder,
            record_origin=record_origin,
            accept_shrink=False,
            began=time.perf_counter(),
        )
    ends = {day: Window.of_day(day).bounds(settings().zone)[1] for day in days.days}
    parts = [
        replace(each, unfinished=bool(each.partition and fetched_at < ends[each.partition]))
        for each in done.partitions
    ]
    return LoadResult(parts, done.failed, done.seconds)


def _read_types(kept: pa.Table) -> dict[str, str]:
    """Return the types of the fields of typed rows that the spec does not name."""
    types: dict[str, str] = {}
    for text in pc.unique(kept["types"]).to_pylist():
        types |= json.loads(text or "{}")
    return types


def _record_origin(source: SourceSpec, table: SourceTable, days: Window, address: str, ref: str) -> None:
    try:
        origins.record(origins.Origin(source.source, table.raw_table, address))
    except OriginChanged as error:
        raise OriginChanged(
            f"{table.asset}, {days}: the rows of these refused days are from {address}; {error.what}",
            unharmed="all that was loaded, and the rows in quarantine; nothing was written",
            next_step="load the days again:"
            f" `millpond materialize {table.asset} {days.option}{ref_option(ref)}`; or remove the rows:"
            f" `millpond quarantine discard {table.asset} {days.option}{ref_option(ref)} --yes`",
        ) from error


def _settle_by_key(
    table: SourceTable, days: Window, decision: Decision, previous: Previous
) -> list[PartitionResult]:
    """Merge rows of `days` from quarantine into a table whose rows are written by key."""
    with open_staging_folder(settings().staging, f"{table.name}-replay") as folder:
        done = replay_by_key(table, days, decision.rule, folder, ref=decision.ref, run_id=decision.run_id)
    return [
        replace(each, unfinished=bool(before.get("unfinished")), partly=True)
        for each in done
        if each.partition and (before := previous.get(each.partition, {})).get("version") != each.content_hash
    ]


def _settle_loaded(
    table: SourceTable, days: Window, decision: Decision, previous: Previous
) -> list[PartitionResult]:
    """Move rows of `days` from quarantine to the raw table, or remove them, with one commit."""
    ref, run_id = decision.ref, decision.run_id
    raw, quarantine = lake_tables(table)
    stored, there = read_quarantine(table, ref, days), read.scan(ref, raw.name, window=days)
    chosen = select_rule(stored, decision.rule)
    others = stored.filter(pc.invert(chosen))
    rows = stored.filter(chosen).sort_by([(PARTITION_COLUMN, "ascending"), ("payload", "ascending")])
    if decision.discard or not rows.num_rows:
        judged = Judged(pa.array([True] * there.num_rows, pa.bool_()), there.slice(0, 0), stored.slice(0, 0))
    else:
        with open_staging_folder(settings().staging, f"{table.name}-replay") as folder:
            judged = judge_again(table, rows, there, days, folder, ref, run_id)
    crash_points.reached("ingestion.replay_judged")
    try:
        good = _concat(there.filter(judged.stays), judged.good)
    except pa.ArrowTypeError as error:
        raise contract_error(table, days, ref, f"loaded rows have another type: {error}") from error
    bad = _concat(others, judged.bad)
    found_raw = compute_digests(_concat(good.slice(0, 0), there), PARTITION_COLUMN)
    found_bad = compute_digests(stored, PARTITION_COLUMN)
    written, _ = write(
        [
            Replacement(
                *(raw, good, days, partial(refuse_changes, found_raw, days)),
                Shrinkage(shrink_rule(table)).keeping,
            ),
            Replacement(quarantine, bad, days, partial(refuse_changes, found_bad, days)),
        ],
        ref=ref,
        run_id=run_id,
    )
    crash_points.reached("ingestion.replay_written")
    loaded, gone = _per_day(good), _per_day(rows) if decision.discard else Counter[dt.date]()
    results = []
    for day in days.days:
        before = previous.get(day, {})
        left = bad.filter(pc.equal(bad[PARTITION_COLUMN], day))
        counts = _counts_of(before, loaded[day], left, judged, day)
        discarded = gone[day] + before.get("rows_discarded", 0)
        result = replace(
            PartitionResult.of(day, counts, written, 0),
            discarded=discarded,
            rows_in_source=counts.rows + discarded,
            unfinished=bool(before.get("unfinished")),
            partly=True,
        )
        if not _is_recorded(result, before):
            results.append(result)
    return results


def _counts_of(before: Mapping[str, Any], good: int, bad: pa.Table, judged: Judged, day: dt.date) -> Counts:
    """Return the counts of a day as a load of all its rows would have them."""
    now = judged.counts.get(day, Counts())
    return Counts(
        good=good,
        bad=bad.num_rows,
        duplicate=before.get("duplicates_dropped", 0) + judged.duplicates[day],
        outside=before.get("rows_outside_window", 0),
        bytes=before.get("bytes", 0) or now.bytes,
        reasons=dict(Counter(bad["reason"].to_pylist())),
        nulled=dict(Counter(before.get("nulled_reasons") or {}) + Counter(now.nulled)),
        no_value=dict(Counter(before.get("no_value_columns") or {}) + Counter(now.no_value)),
    )


def _is_recorded(result: PartitionResult, before: Mapping[str, Any]) -> bool:
    recorded = tuple(before.get(name) for name in ("version", "rows_loaded", "rows_quarantined"))
    return recorded == (result.content_hash, result.rows_loaded, result.rows_quarantined)


def _until_unchanged(table: SourceTable, days: Window, work: Callable[[], T]) -> T:
    for _ in range(_ATTEMPTS):
        try:
            return work()
        except RowsChanged:
            continue
    raise PartitionConflict(
        f"{table.asset}, {days}: others changed the days each of the {_ATTEMPTS} times they were read",
        unharmed="the days as they are; nothing of this replay was written",
        next_step="repeat it when the other runs are done",
    )


def _days_to_settle(
    table: SourceTable, window: Window, decision: Decision, previous: Previous
) -> set[dt.date]:
    """Return the loaded days that hold chosen rows or are not as recorded, and those next to them.

    A run that was killed after it wrote has left days that are not as recorded. A row without a readable time
    may be filed under the day before or after its own.
    """
    ref, stored = decision.ref, read_quarantine(table, decision.ref, window)
    good, bad = count_rows(ref, table.raw_table, window), _per_day(stored)
    due = _days(stored.filter(select_rule(stored, decision.rule)))
    for day, before in previous.items():
        same_bad = table.writes != "replace" or before.get("rows_quarantined") == bad[day]
        if before.get("dagster/partition_row_count") != good[day] or not same_bad:
            due.add(day)
    near = {day + dt.timedelta(days) for day in due for days in (-1, 0, 1)}
    return near & {*good, *bad}


def _days(rows: pa.Table) -> set[dt.date]:
    return set(pc.unique(rows[PARTITION_COLUMN]).to_pylist())


def _per_day(rows: pa.Table) -> Counter[dt.date]:
    return Counter(rows[PARTITION_COLUMN].to_pylist())


def _concat(*tables: pa.Table) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")
