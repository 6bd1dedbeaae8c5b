"""One table beside ten in one transaction, and a warm day of every asset; medians of pairs.

    python bench/commit.py [--pairs 15] [--rows 20000] [--days 5] [--quick] [--out FILE]

Works in a home of its own, which is removed at the end. One table and ten are written in turn, so that they
are compared under the same load. CPU is that of this process. How many functions Python calls to write one
table is a figure that the load of the machine does not change. Writes `bench/results/commit.json`; nothing
with `--quick`.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pairs import own_home

TABLES, MOST_TIMES, MOST_SECONDS = 10, 2.5, 1.5
START, DAYS = dt.date(2026, 1, 1), 30
ROOT = Path(__file__).parents[1]


def main(pairs: int, rows: int, days: int) -> dict[str, Any]:
    """Return what was measured; prints it as well."""
    found: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "rows": rows}
    found["commit"], found["calls"] = measure_commits(pairs, rows)
    one, ten = found["commit"]["one"], found["commit"]["ten"]
    for who, each in found["commit"].items():
        print(
            f"{who:<4} median {each['seconds'] * 1000:6.0f} ms ({each['fastest'] * 1000:.0f}-"
            f"{each['slowest'] * 1000:.0f})  {each['cpu'] * 1000:6.0f} ms of CPU"
        )
    found["times"] = ten["seconds"] / one["seconds"]
    print(f"{found['calls']:,} calls of functions to write one")
    print(f"ten take {found['times']:.1f} times as long as one; meant: {MOST_TIMES}", flush=True)
    if days:
        found["day"] = measure_days(days)
        print(
            f"a warm day of all {found['day']['assets']} assets: {found['day']['seconds']:.2f} s,"
            f" {found['day']['cpu']:.2f} s of CPU; meant: {MOST_SECONDS} s"
        )
    return found


def measure_commits(pairs: int, rows: int) -> tuple[dict[str, dict[str, float]], int]:
    """Replace a day of one table, and of ten in one commit, in turn; and count the calls of one."""
    import pyarrow as pa

    from millpond.lake.spec import Replacement, TableSpec
    from millpond.lake.tables import replace
    from millpond.partitions import Window

    each = rows // DAYS

    def make(first: int, days: int, seed: int) -> pa.Table:
        ids = range(first * each, (first + days) * each)
        numbers = {f"value_{n}": [float((i * 7 + n + seed) % 400) for i in ids] for n in range(3)}
        day = [START + dt.timedelta(i // each) for i in ids]
        return pa.table({"id": list(ids), "day": day, "name": [f"device {i % 9}" for i in ids], **numbers})

    whole = make(0, DAYS, 0)
    specs = {
        who: [TableSpec(f"gold.{who}_{n}", whole.schema, "day", grain="month") for n in range(number)]
        for who, number in (("one", 1), ("ten", TABLES))
    }

    def write(who: str, data: pa.Table, first: int, days: int) -> None:
        window = Window.of_days(START + dt.timedelta(first), START + dt.timedelta(first + days - 1))
        replace([Replacement(spec, data, window) for spec in specs[who]], ref="main", run_id="bench")

    taken: dict[str, list[tuple[float, float]]] = {"one": [], "ten": []}
    for who in specs:
        write(who, whole, 0, DAYS)
    for turn in range(pairs + 2):
        data = make(10, 1, turn + 1)
        for who in ("one", "ten") if turn % 2 else ("ten", "one"):
            taken[who].append(_time(lambda who=who, data=data: write(who, data, 10, 1)))
    profile, data = cProfile.Profile(), make(10, 1, -1)
    profile.runcall(write, "one", data, 10, 1)
    calls = sum(entry.callcount for entry in profile.getstats())
    return {who: _summarize(each[2:]) for who, each in taken.items()}, calls


def measure_days(rounds: int) -> dict[str, float]:
    """Materialize one day of every asset again and again in this process."""
    from millpond.instance.home import open_instance
    from millpond.partitions import Window, latest_complete_day
    from millpond.runs.run import materialize
    from millpond.runtime.databases import databases
    from millpond.runtime.demo_source import ensure_demo_source, mark_demo_home
    from millpond.settings import settings

    databases()
    mark_demo_home(settings())
    ensure_demo_source(settings())
    from millpond.definitions import defs  # knows the sources that have an address now

    last = latest_complete_day(settings().zone)
    with open_instance() as recording:

        def run() -> None:
            outcome = materialize("*", Window.of_days(last, last), definitions=defs, instance=recording)
            assert outcome.success, outcome.failures
            made.append(len(outcome.assets))

        made: list[int] = []
        taken = [_time(run) for _ in range(rounds + 2)]
        return {**_summarize(taken[2:]), "assets": made[-1]}


def _time(work: Callable[[], None]) -> tuple[float, float]:
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _summarize(taken: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = ([each[of] for each in taken] for of in (0, 1))
    return {
        "seconds": statistics.median(wall),
        "fastest": min(wall),
        "slowest": max(wall),
        "cpu": statistics.median(cpu),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="counted pairs; two more come first")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of a table")
    parser.add_argument("--days", type=int, default=5, help="counted runs of a day; 0: none")
    parser.add_argument(
        "--quick", action="store_true", help="three pairs and one run of a day; nothing is kept"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "commit.json")
    asked = parser.parse_args()
    with own_home():
        sizes = (3, min(asked.days, 1)) if asked.quick else (asked.pairs, asked.days)
        measured = main(sizes[0], asked.rows, sizes[1])
        if not asked.quick:
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            asked.out.write_text(json.dumps(measured, indent=1) + "\n")
