"""Which versions of a table are kept: each commit drops from the metadata the snapshots that are due.

Their data files stay until housekeeping removes what no pointer leads to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from millpond.errors import StorageFailed
from millpond.lake.connect import borrow_connection
from millpond.lake.metadata import read_metadata
from millpond.settings import settings

PREVIOUS_VERSIONS = 20
"""Earlier metadata files that a metadata file names, and that therefore stay."""

_DAY = 86_400_000
"""In milliseconds, as the times of snapshots are; days are those of UTC."""
_BASES = (
    "select metadata_location from lake_branch_bases"
    " where iceberg_type = 'TABLE' and table_namespace || '.' || table_name = %s"
)


def find_expired(table: str, metadata: TableMetadata) -> list[int]:
    """Return the snapshots of a table that are due: see `choose_expired`.

    Snapshots since any branch was created stay, as merging it compares them. Pins keep their own files.
    """
    configured = settings()
    due = choose_expired(
        metadata,
        dt.datetime.now(dt.UTC),
        days=configured.snapshot_retention_days,
        most=configured.snapshot_retention_count,
        daily=configured.snapshot_daily_retention_days,
    )
    if not due:
        return []
    needed = _find_needed(table)
    return [s.snapshot_id for s in due if needed is None or (s.sequence_number or 0) < needed]


def choose_expired(
    metadata: TableMetadata, now: dt.datetime, *, days: float, most: int, daily: float
) -> list[Snapshot]:
    """Return the snapshots to drop: all but those of the last `days`, and one a day for `daily` days.

    Of those of the last `days` the newest `most` count; older ones are treated like those before. The
    current one, and those that a tag or branch of Iceberg names, stay.
    """
    newest_first = sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0, reverse=True)
    named = {ref.snapshot_id for ref in metadata.refs.values()} | {metadata.current_snapshot_id}
    kept_days: set[int] = set()
    due = []
    moment = now.timestamp() * 1000
    for number, snapshot in enumerate(newest_first):
        day, age = snapshot.timestamp_ms // _DAY, moment - snapshot.timestamp_ms
        recent = number < most and age <= days * _DAY
        last_of_day = day not in kept_days and age <= daily * _DAY
        if recent or last_of_day or snapshot.snapshot_id in named:
            kept_days.add(day)
        else:
            due.append(snapshot)
    return due


def trim_log(metadata: TableMetadata) -> TableMetadata:
    """Return the metadata with the newest PREVIOUS_VERSIONS entries of its log of metadata files."""
    if len(metadata.metadata_log) <= PREVIOUS_VERSIONS:
        return metadata
    return metadata.model_copy(update={"metadata_log": metadata.metadata_log[-PREVIOUS_VERSIONS:]})


def _find_needed(table: str) -> int | None:
    """Return the sequence number of the oldest snapshot that a branch was created from, if any was."""
    with borrow_connection() as conn:
        bases = [location for (location,) in conn.execute(_BASES, (table,)).fetchall()]
    found: Sequence[int] = [_get_sequence(base) for base in bases]
    return min(found, default=None)


def _get_sequence(location: str) -> int:
    try:
        snapshot = read_metadata(location).current_snapshot()
    except (OSError, StorageFailed):
        return 0
    return (snapshot and snapshot.sequence_number) or 0
