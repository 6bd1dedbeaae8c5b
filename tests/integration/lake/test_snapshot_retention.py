"""Versions that are due go with the next commit; what a branch, a pin or a reader needs stays."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

from lake_readings import days, found, write
from millpond.errors import RefRefused
from millpond.lake import pins, read, refs
from millpond.lake.catalog import warehouse_uri
from millpond.lake.history import plan_undo, undo
from millpond.lake.housekeeping import remove_orphans
from millpond.lake.ref_log import list_commits
from millpond.lake.retention import PREVIOUS_VERSIONS, choose_expired
from millpond.settings import Settings

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
Configure = Callable[..., Settings]


def table(hours_ago: list[float]) -> TableMetadata:
    """Return the metadata of a table with snapshots of these ages, oldest first."""
    metadata = new_table_metadata(Schema(), UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, "file:///t")
    snapshots = [
        Snapshot(
            snapshot_id=number,
            parent_snapshot_id=number - 1 or None,
            sequence_number=number,
            timestamp_ms=round((NOW - dt.timedelta(hours=hours)).timestamp() * 1000),
            manifest_list="file:///t/list.avro",
            summary=Summary(Operation.APPEND),
        )
        for number, hours in enumerate(sorted(hours_ago, reverse=True), 1)
    ]
    return metadata.model_copy(update={"snapshots": snapshots, "current_snapshot_id": len(snapshots) or None})


@given(
    st.lists(st.floats(0, 3000), max_size=60),
    st.integers(1, 20),
    st.floats(0, 10),
    st.floats(0, 100),
)
def test_all_of_the_last_days_are_kept_then_one_a_day_and_always_the_current(
    hours_ago: list[float], most: int, recent_days: float, daily: float
) -> None:
    metadata = table(hours_ago)
    due = choose_expired(metadata, NOW, days=recent_days, most=most, daily=daily)
    kept = [s for s in metadata.snapshots if s not in due]
    age = {s.snapshot_id: NOW.timestamp() - s.timestamp_ms / 1000 for s in metadata.snapshots}
    date = {s.snapshot_id: dt.datetime.fromtimestamp(s.timestamp_ms / 1000, dt.UTC).date() for s in kept}
    ids = [s.snapshot_id for s in kept]
    assert metadata.current_snapshot_id is None or metadata.current_snapshot_id in ids
    recent = [s.snapshot_id for s in metadata.snapshots if age[s.snapshot_id] <= recent_days * 86400]
    assert set(recent[-most:]) <= set(ids)
    others = [i for i in ids if i not in recent[-most:] and i != metadata.current_snapshot_id]
    assert len({date[i] for i in others}) == len(others)
    assert all(age[i] <= daily * 86400 for i in others)
    for s in metadata.snapshots:  # each day that is kept has its last version
        if age[s.snapshot_id] <= daily * 86400:
            day = dt.datetime.fromtimestamp(s.timestamp_ms / 1000, dt.UTC).date()
            assert day in date.values()
    again = metadata.model_copy(update={"snapshots": kept})
    assert choose_expired(again, NOW, days=recent_days, most=most, daily=daily) == []


def snapshots() -> int:
    return len(read.load_table("main", "raw.readings").metadata.snapshots)


def sweep() -> int:
    """Remove orphans as if every file were eight days old."""
    then = time.time() - 8 * 86400
    for file in Path(warehouse_uri().removeprefix("file://")).rglob("*"):
        os.utime(file, (then, then))
    return len(remove_orphans())


@pytest.mark.usefixtures("home")
def test_what_a_commit_reads_and_writes_stops_growing_and_unused_files_go(configure: Configure) -> None:
    configure(snapshot_retention_count=5)
    sizes = []
    for value in range(30):
        write({0: [value], 1: [1]})
        sizes.append(snapshots())
    assert sizes[:6] == [1, 2, 3, 4, 5, 5]
    assert sizes[-1] == 5
    assert len(read.load_table("main", "raw.readings").metadata.metadata_log) == PREVIOUS_VERSIONS
    assert sweep() > 25
    assert found() == {0: [29], 1: [1]}
    (folder,) = Path(warehouse_uri().removeprefix("file://")).glob("raw/readings-*")
    assert len([*folder.rglob("*.metadata.json")]) == PREVIOUS_VERSIONS + 1
    assert len([*folder.rglob("*.parquet")]) <= 2 * 5
    write({2: [1]})
    assert found() == {0: [29], 1: [1], 2: [1]}


@pytest.mark.usefixtures("home")
def test_a_branch_keeps_the_versions_since_it_was_created_and_merges_days_that_only_it_changed(
    configure: Configure,
) -> None:
    configure(snapshot_retention_count=2)
    for value in range(4):
        write({0: [value]})
    refs.create("dev")
    write({1: [10]}, ref="dev")
    for value in range(6):
        write({0: [100 + value]})
    assert snapshots() == 7
    sweep()
    assert refs.merge("dev").rebased == ("raw.readings",)
    assert found() == {0: [105], 1: [10]}
    write({0: [7]})
    assert snapshots() == 2


@pytest.mark.usefixtures("home")
def test_a_pin_reads_its_version_after_it_expired_and_was_swept(configure: Configure) -> None:
    configure(snapshot_retention_count=1)
    write({0: [1]})
    with pins.hold_pin("main") as pin:
        for value in range(2, 5):
            write({0: [value]})
        sweep()
        assert found(ref=pin) == {0: [1]}
    assert found() == {0: [4]}


@pytest.mark.usefixtures("home")
def test_a_commit_is_undone_while_the_version_before_it_is_there_and_refused_afterwards(
    configure: Configure,
) -> None:
    configure(snapshot_retention_count=1)
    write({0: [1]})
    write({0: [2]}, days(0, 0))
    undo(plan_undo("main", list_commits("main", limit=1)[0].id))
    assert found() == {0: [1]}
    write({0: [3]})
    sweep()
    with pytest.raises(RefRefused, match=r"earlier version of raw\.readings is gone"):
        plan_undo("main", list_commits("main", limit=1)[0].id)
    assert found() == {0: [3]}


@pytest.mark.usefixtures("home")
def test_a_sweep_after_an_undo_passes_over_versions_that_had_been_swept_before(configure: Configure) -> None:
    for value in range(3):
        write({0: [value]})
    configure(snapshot_retention_count=2)
    write({0: [3]})
    sweep()
    undo(plan_undo("main", list_commits("main", limit=1)[0].id))
    sweep()
    assert found() == {0: [2]}
    write({1: [1]})
    assert found() == {0: [2], 1: [1]}
