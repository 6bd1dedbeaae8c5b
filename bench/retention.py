"""What a table costs after very many commits, with retention and maintenance at their default ages.

    python bench/retention.py [--commits 10000] [--hours 1] [--minutes 30] [--quick]

Each commit replaces a day of a table, an hour (--hours) later than the one before by a clock that this
process alone sees; every night the tasks of maintenance of the lake run, and files get the time of that
clock. At each step as many commits are timed as of a new table, in turns, so that a busy machine slows both.
Prints JSON, then a table: size of metadata.json, time of a commit, bytes on disk beside those of rows and of
all kept versions.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import time_machine
from soak import date_files

BEGIN = dt.datetime(2024, 1, 1, 0, 30, tzinfo=dt.UTC)
STEPS = (100, 300, 600, 1000, 1500, 2000, 2500, 3000, 5000, 7500, 10_000)
AROUND = 15
"""Commits of which each time is the median."""
TASKS = ("expire_snapshots", "compact_files", "rewrite_manifests", "remove_orphan_files")
Step = dict[str, Any]


def grow(commits: int, hours: float = 1, minutes: float = 1e9, rows: int = 24) -> list[Step]:
    """Make the commits in the home of the settings, at most for so long; returns the figures of each step."""
    from millpond.maintenance.run import choose_tasks, run_tasks
    from millpond.settings import settings

    stamped, ends, done = time.time(), time.monotonic() + minutes * 60, 0
    found: list[Step] = []
    steps = [step for step in STEPS if step < commits] + [commits]
    for step in steps:
        while done < step and time.monotonic() < ends:
            moment = BEGIN + dt.timedelta(hours=done * hours)
            with time_machine.travel(moment, tick=True):
                _commit("raw.growth", moment, done, rows)
            done += 1
            if done * hours % 24 == 0:
                stamped = date_files(settings().home, stamped, moment)
                with time_machine.travel(moment + dt.timedelta(minutes=30), tick=True):
                    night = list(run_tasks(choose_tasks(TASKS), dry_run=False))
                assert not any(each.error for each in night), night
        found.append(_measure(done, BEGIN + dt.timedelta(hours=done * hours), rows))
        print(json.dumps(found[-1]), flush=True)
        if time.monotonic() > ends:
            break
    return found


def _commit(table: str, moment: dt.datetime, seed: int, rows: int) -> None:
    import pyarrow as pa

    from millpond.lake.tables import Replacement, TableSpec, replace
    from millpond.partitions import Window

    day = moment.date()
    columns = {f"c{n}": [float((seed * 31 + i * n) % 997) for i in range(rows)] for n in range(6)}
    data = pa.table({"day": [day] * rows, "id": [f"{day}-{i}" for i in range(rows)], **columns})
    spec = TableSpec(table, data.schema, window_column="day", key=("id",), grain="month")
    replace([Replacement(spec, data, Window.of_day(day))], ref="main", run_id=f"bench {seed}")


def _measure(done: int, moment: dt.datetime, rows: int) -> Step:
    from millpond.lake.catalog import LakeCatalog
    from millpond.lake.files import lake_io, list_files
    from millpond.lake.housekeeping import list_live_files

    old, new = [], []
    with time_machine.travel(moment, tick=True):
        for number in range(AROUND + 2):
            for table, taken in (("raw.growth", old), (f"raw.new_{done}", new)):
                began = time.process_time(), time.perf_counter()
                _commit(table, moment, done + number, rows)
                taken.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    table = LakeCatalog("main").load_table("raw.growth")
    sizes = {
        location: file.size for location, file in list_files(lake_io(), table.location()) if file.is_file
    }
    live, _ = list_live_files(lake_io())
    snapshot = table.current_snapshot()
    assert snapshot is not None
    metadata = sizes[table.metadata_location]
    cpu, wall = (
        [statistics.median(each[n] for each in taken[2:]) * 1000 for taken in (old, new)] for n in (0, 1)
    )
    return {
        "commits": done,
        "metadata_kb": round(metadata / 1024, 1),
        "snapshots": len(table.metadata.snapshots),
        "manifests": len(snapshot.manifests(table.io)),
        "commit_ms": round(wall[0], 1),
        "commit_ms_new": round(wall[1], 1),
        "cpu_ms": round(cpu[0], 1),
        "cpu_ms_new": round(cpu[1], 1),
        "files": len(sizes),
        "disk_kb": round(sum(sizes.values()) / 1024),
        "kept_kb": round(sum(size for location, size in sizes.items() if location in live) / 1024),
        "rows_kb": round(int((snapshot.summary or {})["total-files-size"]) / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--hours", type=int, default=1, help="from one commit to the next")
    parser.add_argument("--minutes", type=float, default=1e9, help="end then, with fewer commits")
    parser.add_argument("--quick", action="store_true", help="300 commits")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(home)
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        found = grow(300 if asked.quick else asked.commits, asked.hours, asked.minutes)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
    print("".join(f"{name:>15}" for name in found[0]))
    for step in found:
        print("".join(f"{value:>15,}" for value in step.values()))


if __name__ == "__main__":
    main()
