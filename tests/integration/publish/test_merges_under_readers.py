"""Merges and publishes one after another, while DuckDB, PyIceberg and Postgres are read: 0 torn, 0 empty."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from millpond.lake import duck, pins, read, refs
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


def merge(version: int) -> None:
    """Build both gold tables on a branch, one commit each, and merge it."""
    refs.create("audit")
    for name in MARTS:
        table = TableSpec(f"gold.{name}", data(0).schema, key=("row",))
        replace([Replacement(table, data(version), None)], ref="audit", run_id=f"run-{version}")
    refs.merge("audit")


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


def run(times: int) -> None:
    merge(1)
    publish(marts(), ref="main", run_id="first")
    over = threading.Event()
    with ThreadPoolExecutor(3) as watching:
        looking = [
            watching.submit(watched, look, over) for look in (from_duckdb, from_pyiceberg, from_postgres)
        ]
        try:
            for version in range(2, times + 1):
                merge(version)
                publish(marts(), ref="main", run_id=f"run-{version}")
        finally:
            over.set()
        views = [look.result() for look in looking]
    for seen in views:
        torn = [view for view in seen if view[1] != view[3] or view[1] % ROWS]
        empty = [view for view in seen if view[0] != ROWS or view[2] != ROWS]
        assert (torn, empty) == ([], [])
        versions = [view[1] // ROWS for view in seen]
        assert versions == sorted(versions)
        assert versions[-1] == times
        assert len(set(versions)) > 2, "the reader read between the merges"


def test_readers_see_whole_merges_and_whole_publishes(home: Home) -> None:
    run(8)


@pytest.mark.slow
def test_readers_see_whole_merges_and_whole_publishes_200_times(home: Home) -> None:
    run(200)
