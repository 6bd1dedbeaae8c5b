"""What a commit, a branch and a look at a table cost as the lake grows: snapshots, days, tables, branches.

    python bench/growth.py [--commits 600] [--rows 288]

Works in a home of its own, which is removed at the end. Each day is one commit, as an hourly or daily load
makes it. Prints CPU time of this process as well as time by the clock, since only the first is steady on a
busy machine. docs/scale.md has the figures and what follows from them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FIRST = dt.date(2024, 1, 1)
AROUND = 20
"""Commits of which each figure is the median."""


def main(commits: int, rows: int) -> None:
    import pyarrow as pa

    from millpond.lake import refs
    from millpond.lake.catalog import LakeCatalog
    from millpond.lake.tables import Replacement, TableSpec, replace
    from millpond.partitions import Window

    def data(day: dt.date, seed: int) -> pa.Table:
        columns = {f"c{n}": [float((seed * 31 + i * n) % 997) for i in range(rows)] for n in range(6)}
        return pa.table({"day": [day] * rows, "id": [f"{day}-{i}" for i in range(rows)], **columns})

    schema = data(FIRST, 0).schema
    spec = TableSpec("raw.growth", schema, window_column="day", key=("id",), grain="month")

    def commit(number: int, day: int) -> None:
        when = FIRST + dt.timedelta(days=day)
        replace(
            [Replacement(spec, data(when, number), Window.of_day(when))], ref="main", run_id=f"bench {number}"
        )

    print(
        f"{'snapshots':>10} {'months':>7} {'metadata KB':>12} {'manifests':>10} {'commit ms':>10}"
        f" {'CPU ms':>7}"
    )
    steps = [n for n in (30, 100, 200, 400, 600, 800, 1200) if n <= commits]
    done = 0
    for step in steps:
        for number in range(done, step - AROUND):
            commit(number, number)
        taken = [timed(lambda n=number: commit(n, n)) for number in range(step - AROUND, step)]
        done = step
        table = LakeCatalog("main").load_table(spec.name)
        kilobytes = len(table.io.new_input(table.metadata_location).open().read()) / 1024
        manifests = len(table.current_snapshot().manifests(table.io))
        print(
            f"{len(table.metadata.snapshots):>10} {step / 30.4:>7.0f} {kilobytes:>12.0f} {manifests:>10}"
            f" {median(taken, 0):>10.0f} {median(taken, 1):>7.0f}",
            flush=True,
        )

    few = [f"{n:03}" for n in range(50)]
    for name in few:
        small = TableSpec(f"gold.t{name}", schema, key=("id",))
        replace([Replacement(small, data(FIRST, 1).slice(0, 1), None)], ref="main", run_id="bench")
    print(f"\n{'branches':>9} {'tables':>7} {'create ms':>10} {'drop ms':>8} {'commit to main ms':>18}")
    there = 0
    for branches in (0, 10, 50, 200):
        for number in range(there, branches):
            refs.create(f"b{number}")
        there = branches
        made = [timed(lambda: refs.create("bench")) + timed(lambda: refs.drop("bench")) for _ in range(7)]
        to_main = [timed(lambda n=n: commit(10_000 + n, n % 28)) for n in range(AROUND // 2)]
        print(
            f"{branches:>9} {len(few) + 1:>7} {median(made, 0):>10.1f} {median(made, 2):>8.1f}"
            f" {median(to_main, 0):>18.0f}",
            flush=True,
        )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return how many milliseconds `work` took by the clock and of this process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def median(rows: list[tuple[float, ...]], column: int) -> float:
    """Return the median of one column."""
    return statistics.median(row[column] for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What commits and branches cost as the lake grows.")
    parser.add_argument("--commits", type=int, default=600)
    parser.add_argument("--rows", type=int, default=288)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(home)
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        main(asked.commits, asked.rows)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
