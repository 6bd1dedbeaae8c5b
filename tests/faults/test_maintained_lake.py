"""Maintenance beside writers and readers: it loses to them where it must; no row is lost, doubled or torn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyiceberg.exceptions import CommitFailedException

from lake_readings import day, found, rows, write
from millpond.lake import pins, read
from millpond.lake.catalog import LakeCatalog
from millpond.maintenance.task import Result
from millpond.maintenance.tasks import compact_files, expire_snapshots, remove_orphan_files, rewrite_manifests
from millpond.runtime.home import Home
from millpond.settings import Settings

TABLE = "raw.readings"
FIRST_OF_SECOND_MONTH = 40


def append(number: int, value: int) -> None:
    """Append a small file as another client of the catalog does, until no other commit comes between."""
    while True:
        table = LakeCatalog("main").load_table(TABLE)
        try:
            table.append(rows({number: [value]}).cast(table.schema().as_arrow()))
        except CommitFailedException:
            continue
        return


def write_and_append(turns: int) -> None:
    for turn in range(turns):
        write({0: [turn]})
        append(FIRST_OF_SECOND_MONTH + turn, turn)


def read_pinned(over: threading.Event) -> int:
    """Read a pinned version twice, again and again; return how often."""
    seen = 0
    while not over.is_set():
        with pins.hold_pin("main") as pin:
            first = found(ref=pin)
            assert len(first[0]) == 1
            assert list(first)[1:] == list(
                range(FIRST_OF_SECOND_MONTH, FIRST_OF_SECOND_MONTH + len(first) - 1)
            )
            assert found(ref=pin) == first
        seen += 1
    return seen


def maintain(over: threading.Event) -> int:
    """Run the tasks of a night, again and again; return how many files were compacted."""
    files = 0
    while True:
        last = over.is_set()
        done: list[Result] = [task(False) for task in (compact_files, expire_snapshots, rewrite_manifests)]
        assert remove_orphan_files(False).lines == ()
        files += sum(line.counts["files"] for line in done[0].lines)
        if last:
            return files


@pytest.mark.parametrize("turns", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_maintenance_beside_a_writer_and_a_reader_loses_no_row(
    home: Home, configure: Callable[..., Settings], turns: int, record_property: Callable[[str, str], None]
) -> None:
    configure(compaction_files=2, snapshot_retention_count=5)
    write({0: [-1]})
    over = threading.Event()
    with ThreadPoolExecutor(2) as beside:
        reading, maintaining = beside.submit(read_pinned, over), beside.submit(maintain, over)
        try:
            write_and_append(turns)
        finally:
            over.set()
        reads, files = reading.result(), maintaining.result()
    assert found() == {0: [turns - 1], **{FIRST_OF_SECOND_MONTH + turn: [turn] for turn in range(turns)}}
    assert files > 0
    months = {day(n).replace(day=1) for n in found()}
    assert len(list(read.load_table("main", TABLE).scan().plan_files())) == len(months)
    record_property(
        "seen", f"{2 * turns} commits, {files} files compacted, {reads} reads: no row lost or torn"
    )
