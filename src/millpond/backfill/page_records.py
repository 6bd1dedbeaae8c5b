"""Shows backfills of the ledger in Dagster's pages: status, and how many partitions are done or failed.

The ledger is read on each request; nothing is stored in Dagster.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetKey, TimeWindow

from millpond.backfill import ledger
from millpond.backfill.ledger import BackfillState
from millpond.backfill.ledger_access import Holder, transaction
from millpond.backfill.ledger_chunks import PartitionState
from millpond.internals.dagster import AssetGraphSubset, TimestampWithTimezone, TimeWindowPartitionsSubset
from millpond.internals.dagster_on_demand import (
    AssetBackfillData,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
    SerializableErrorInfo,
)
from millpond.partitions import Window, contiguous
from millpond.resources.run import REF_TAG, daily_partitions
from millpond.settings import settings

_STATUS = {
    BackfillState.DONE: BulkActionStatus.COMPLETED_SUCCESS,
    BackfillState.FAILED: BulkActionStatus.COMPLETED_FAILED,
    BackfillState.CANCELLED: BulkActionStatus.CANCELED,
}
_FAILED = (PartitionState.FAILED, PartitionState.BLOCKED)
_HEADS = "select * from backfills where %(ids)s::text[] is null or id = any(%(ids)s) order by started desc"
_PARTS = """
select p.backfill, p.asset, p.state, coalesce(c.state = 'claimed', false) as claimed, count(p.day) as n,
    range_agg(daterange(p.day, p.day + 1)) filter (where p.day is not null) as days
from backfill_partitions p left join backfill_chunks c on c.backfill = p.backfill and c.number = p.chunk
where p.backfill = any(%s) and p.state <> 'unreachable'
group by 1, 2, 3, 4
"""
"""Days that a source no longer serves are left out: they cannot be materialized."""

Row = Mapping[str, Any]


class LedgerRecords:
    """The backfills of `millpond backfill`, for Dagster's pages."""

    def find(self, wanted: BulkActionsFilter, limit: int | None = None) -> Sequence[PartitionBackfill]:
        """Return matching backfills, newest first, as Dagster's records."""
        heads = list(_find_rows(wanted))[:limit]
        if not heads:
            return []
        parts: defaultdict[str, list[Row]] = defaultdict(list)
        ids = [head["id"] for head in heads]
        for part in transaction(lambda connection: connection.execute(_PARTS, (ids,)).fetchall()):
            parts[part["backfill"]].append(part)
        return [_build_record(head, parts[head["id"]]) for head in heads]

    def count(self, wanted: BulkActionsFilter) -> int:
        """Return how many match."""
        return sum(1 for _ in _find_rows(wanted))

    def stop(self, backfill_id: str) -> None:
        """Stop a backfill through its process; without one, mark it as cancelled."""
        found = ledger.get(backfill_id)
        if found and found.alive:
            ledger.request_stop(backfill_id)
        elif found and found.state in (BackfillState.RUNNING, BackfillState.INTERRUPTED):
            ledger.mark_cancelled(backfill_id)


def _find_rows(wanted: BulkActionsFilter) -> Iterator[Row]:
    if wanted.job_name or wanted.selector_id:
        return  # filters for backfills of jobs
    ids = list(wanted.backfill_ids) if wanted.backfill_ids else None
    for head in transaction(lambda connection: connection.execute(_HEADS, {"ids": ids}).fetchall()):
        if (
            (not wanted.statuses or _find_status(head) in wanted.statuses)
            and (not wanted.created_before or head["started"] < _add_zone(wanted.created_before))
            and (not wanted.created_after or head["started"] > _add_zone(wanted.created_after))
            and all(_build_tags(head).get(k) in _list_values(v) for k, v in (wanted.tags or {}).items())
        ):
            yield head


def _add_zone(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _list_values(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _build_tags(head: Row) -> dict[str, str]:
    """Return the tags that a backfill shares with its runs, including runs that a page starts again."""
    return {REF_TAG: head["ref"]}


def _find_status(head: Row) -> BulkActionStatus:
    if _is_dead(head):
        return BulkActionStatus.FAILED
    if head["state"] == BackfillState.RUNNING:
        return BulkActionStatus.CANCELING if head["stop_asked"] else BulkActionStatus.REQUESTED
    return _STATUS.get(head["state"], BulkActionStatus.CANCELED)


def _is_dead(head: Row) -> bool:
    """Return whether its process is gone without having recorded an end."""
    if head["state"] == BackfillState.RUNNING:
        return not Holder(head["host"], head["pid"], head["pid_started"], head["heartbeat"]).alive
    return head["state"] == BackfillState.INTERRUPTED and head["ended"] is None


def _build_record(head: Row, parts: list[Row]) -> PartitionBackfill:
    status, started = _find_status(head), head["started"].timestamp()
    ended = head["heartbeat"] if _is_dead(head) else head["ended"]
    working = status in (BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING)
    running = [p for p in parts if working and p["state"] == PartitionState.OPEN and p["claimed"]]
    return PartitionBackfill(
        backfill_id=head["id"],
        status=status,
        from_failure=False,
        tags=_build_tags(head),
        backfill_timestamp=started,
        backfill_end_timestamp=ended.timestamp() if ended and not working else None,
        error=_build_error(head, parts),
        asset_selection=[AssetKey.from_user_string(asset) for asset in sorted({p["asset"] for p in parts})],
        description=f"millpond backfill {shlex.quote(head['selection'])}",
        asset_backfill_data=AssetBackfillData(
            target_subset=_build_subset(parts),
            requested_runs_for_target_roots=True,
            latest_storage_id=None,
            materialized_subset=_build_subset(p for p in parts if p["state"] == PartitionState.DONE),
            requested_subset=_build_subset(running),
            failed_and_downstream_subset=_build_subset(p for p in parts if p["state"] in _FAILED),
            backfill_start_time=TimestampWithTimezone(started, "UTC"),
        ),
    )


def _build_error(head: Row, parts: list[Row]) -> SerializableErrorInfo | None:
    backfill = head["id"]
    if _is_dead(head):
        what = "Its process is gone. What it completed is kept."
        then = f"`millpond backfill --resume {backfill}` runs what is left."
    elif head["state"] == BackfillState.FAILED:
        tally = Counter[str]()
        for part in parts:
            tally[part["state"]] += part["n"] or 1
        what = ", ".join(f"{n} {state}" for state, n in sorted(tally.items()))
        what = f"Partitions: {what}."
        then = (
            f"`millpond backfill show {backfill}` says why,"
            f" `millpond backfill --resume {backfill}` runs what is left."
        )
    else:
        return None
    return SerializableErrorInfo(message=f"{what} {then}", stack=[], cls_name=None)


def _build_subset(parts: Iterable[Row]) -> AssetGraphSubset:
    whole: set[AssetKey] = set()
    days: defaultdict[AssetKey, list[Window]] = defaultdict(list)
    for part in parts:
        key = AssetKey.from_user_string(part["asset"])
        if part["days"] is None:
            whole.add(key)
        else:
            days[key] += [Window(span.lower, span.upper) for span in part["days"]]
    return AssetGraphSubset.create_empty_subset()._replace(
        non_partitioned_asset_keys=frozenset(whole),
        partitions_subsets_by_asset_key={key: _build_days(found) for key, found in days.items()},
    )


def _build_days(windows: Iterable[Window]) -> TimeWindowPartitionsSubset:
    configured = settings()
    every = daily_partitions(configured)
    joined = list(contiguous([day for window in windows for day in window.days]))
    spans = [TimeWindow(*window.bounds(configured.zone)) for window in joined]
    return TimeWindowPartitionsSubset(every, sum(map(len, joined)), spans)
