"""What happened to a table since a point in its history, as its snapshots tell."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from millpond.lake.windows import Windows


class HistoryLost(Exception):
    """Snapshots between the two points have expired, or the table is another one."""


def snapshots_since(now: TableMetadata, then: TableMetadata | None) -> Iterator[Snapshot]:
    """Yield the snapshots that lead from `then` (None: from nothing) to `now`, newest first."""
    if then is not None and then.table_uuid != now.table_uuid:
        raise HistoryLost
    stop = then.current_snapshot_id if then is not None else None
    at = now.current_snapshot_id
    while at is not None and at != stop:
        snapshot = now.snapshot_by_id(at)
        if snapshot is None:
            raise HistoryLost
        yield snapshot
        at = snapshot.parent_snapshot_id
    if at != stop:
        raise HistoryLost


def windows_since(now: TableMetadata, then: TableMetadata | None) -> Windows:
    """Return the days whose rows may differ between `then` and `now`; everything if that is not known."""
    touched = Windows(())
    try:
        for snapshot in snapshots_since(now, then):
            touched |= Windows.parse(read_note(snapshot, "millpond.window"))
    except HistoryLost:
        return Windows(None)
    return touched


def read_note(snapshot: Snapshot, key: str) -> str | None:
    """Return an entry of a snapshot's summary."""
    return snapshot.summary.get(key) if snapshot.summary else None
