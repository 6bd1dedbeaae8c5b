"""Merges, publishes and undos one after another, under readers: 0 torn, 0 empty."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from millpond.lake import duck, pins, read, refs
from millpond.lake.history import plan_undo, undo
from millpond.lake.ref_log import list_commits
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.publish.publication import publish
from millpond.publish.spec import MartSpec, PublishDeclaration
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

MARTS = ("mrt_left", "mrt_right")
ROWS = 50
_SUMS = (
    "select (select count(*) from {0}), (select sum(version) from {0}), "
    "(select count(*) from {1}), (select sum(version) from {1})"
)
Seen = tuple[int, int, int, int]


def data(version: int) -> pa.Table:
    return pa.table({"row": list(range(ROWS)), "version": [version] * ROWS})


def merge(version: int) -> str:
    """Build both gold tables on a branch, one commit each, and merge it; return the commit's id."""
    refs.create("audit")
    for name in MARTS:
        table = TableSpec(f"gold.{name}", data(0).schema, key=("row",))
        replace([Replacement(table, data(version), None)], ref="audit", run_id=f"run-{version}")
    refs.merge("audit")
    return list_commits("main", limit=1)[0].id


def marts() -> list[MartSpec]:
    declared = PublishDeclaration(key=("row",))
    return [MartSpec(name=name, table=f"gold.{name}", declared=declared) for name in MARTS]


def from_duckdb() -> Seen:
    with duck.connect() as connection:
        (seen,) = connection.execute(_SUMS.format(*(f"gold.{name}" for name in MARTS))).fetchall()
    return seen


def from_pyiceberg() -> Seen:
    with pins.hold_pin("main") as pin:
        left, right = (read.scan(pin, f"gold.{name}")["version"].to_pylist() for name in MARTS)
    return len(left), sum(left), len(right), sum(right)


def from_postgres() -> Seen:
    with databases().marts_readonly.connect() as connection:
        query: Any = _SUMS.format(*(f"marts.{name}" for name in MARTS))
        return connection.execute(query).fetchall()[0]


def watched(look: Callable[[], Seen], over: threading.Event) -> list[Seen]:
    seen = []
    while not over.is_set():
        seen.append(look())
    return [*seen, look()]


def run(times: int, undos: int, note: Callable[[str, str], None]) -> None:
    commits = [merge(1)]
    publish(marts(), ref="main", run_id="first")
    over = threading.Event()
    with ThreadPoolExecutor(3) as watching:
        looking = [
            watching.submit(watched, look, over) for look in (from_duckdb, from_pyiceberg, from_postgres)
        ]
        try:
            for version in range(2, times + 1):
                commits.append(merge(version))
                publish(marts(), ref="main", run_id=f"run-{version}")
            for number in range(undos):
                undo(plan_undo("main", commits.pop(), with_later=True))
                publish(marts(), ref="main", run_id=f"undo-{number}")
        finally:
            over.set()
        views = [look.result() for look in looking]
    for seen in views:
        torn = [view for view in seen if view[1] != view[3] or view[1] % ROWS]
        empty = [view for view in seen if view[0] != ROWS or view[2] != ROWS]
        assert (torn, empty) == ([], [])
        versions = [view[1] // ROWS for view in seen]
        top = versions.index(max(versions))
        assert versions[:top] == sorted(versions[:top])
        assert versions[top:] == sorted(versions[top:], reverse=True)
        assert versions[-1] == times - undos
        assert len(set(versions)) > 2, "the reader read between the merges"
    reads = ", ".join(str(len(seen)) for seen in views)
    note("seen", f"{times} merges and publishes, {undos} undos under {reads} reads: 0 torn, 0 empty")


@pytest.mark.parametrize(
    ("times", "undos"),
    [
        (8, 3),
        pytest.param(40, 10, marks=pytest.mark.slow),
        pytest.param(200, 50, marks=[pytest.mark.slow, pytest.mark.exhaustive]),
    ],
)
def test_readers_see_whole_merges_publishes_and_undos(
    home: Home, times: int, undos: int, record_property: Callable[[str, str], None]
) -> None:
    run(times, undos, record_property)
