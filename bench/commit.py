"""One table beside ten in one transaction, and a warm day of every asset.

    python bench/commit.py [--repeat 15] [--rows 20000] [--days 5] [--quick]

One table and ten are written in turn, so that they are compared under the same load, and so are their files
alone: a month of each is read and written. How many functions Python calls to write one table is a figure
that the load of the machine does not change. A warm day is one of a process that has done some before.
Works in a home of its own, which is removed at the end.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairs import OURS, Case, Took, Way, measure, own_home, report

if TYPE_CHECKING:
    import pyarrow as pa

TABLES, MOST_TIMES, MOST_SECONDS, WARM_UP = 10, 2.5, 1.5, 2
START, DAYS, WRITTEN = dt.date(2026, 1, 1), 30, 10
LIMIT = "their Parquet files, read and written (the limit)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--rows", type=int, default=20_000, help="of a table")
    parser.add_argument("--days", type=int, default=5, help="counted runs of a day; 0: none")
    parser.add_argument("--quick", action="store_true", help="two turns and a day: to see that it works")
    asked = parser.parse_args()
    repeat, days = (2, min(asked.days, 1)) if asked.quick else (asked.repeat, asked.days)
    with own_home() as home:
        cases = measure_commits(repeat, asked.rows, home)
        if days:
            cases.append(measure_days(days))
    report("commit", "Several tables in one commit, and a warm day", cases, keep=not asked.quick)


def measure_commits(repeat: int, rows: int, home: Path) -> list[Case]:
    """Replace a day of one table, and of ten in one commit, in turn; and count the calls of one."""
    import pyarrow.parquet as pq

    from millpond.lake.spec import Replacement, TableSpec
    from millpond.lake.tables import replace
    from millpond.partitions import Window

    each = rows // DAYS
    whole = _make_rows(0, DAYS, each, 0)
    ways: dict[str, Way] = {}
    cpu: dict[int, list[float]] = {1: [], TABLES: []}

    def add(tables: int) -> None:
        names = [f"gold.of_{tables}_{n}" for n in range(tables)]
        specs = [TableSpec(name, whole.schema, "day", grain="month") for name in names]
        files = [home / f"{spec.name}.parquet" for spec in specs]

        def write(data: pa.Table, first: int, days: int) -> None:
            window = Window.of_days(START + dt.timedelta(first), START + dt.timedelta(first + days - 1))
            replace([Replacement(spec, data, window) for spec in specs], ref="main", run_id="bench")

        def ours(turn: int) -> Took:
            data = _make_rows(WRITTEN, 1, each, turn + 2)
            began, used = time.perf_counter(), time.process_time()
            write(data, WRITTEN, 1)
            cpu[tables].append(time.process_time() - used)
            return Took(time.perf_counter() - began)

        def limit(_: int) -> None:
            for file in files:
                pq.write_table(pq.read_table(file), file, compression="zstd")

        write(whole, 0, DAYS)
        for file in files:
            pq.write_table(whole, file, compression="zstd")
        ways.update({str(tables): ours, f"{tables} {LIMIT}": limit})

    add(1)
    add(TABLES)
    taken = measure(ways, repeat=repeat, warm_up=WARM_UP)
    one, ten = (
        Case(f"{name} of {rows:,} rows, of which a day is replaced", taken)
        for name, taken in (
            ("a table", {OURS: taken["1"], LIMIT: taken[f"1 {LIMIT}"]}),
            (f"{TABLES} tables", {OURS: taken[str(TABLES)], LIMIT: taken[f"{TABLES} {LIMIT}"]}),
        )
    )
    ratios = [more / less for more, less in zip(ten.taken[OURS], one.taken[OURS], strict=True)]
    one.seen.update(
        {
            "processor time, Millpond": _say_milliseconds(cpu[1]),
            "calls of functions, Millpond": f"{_count_calls(lambda: ways['1'](-2)):,}",
        }
    )
    ten.seen.update(
        {
            "processor time, Millpond": _say_milliseconds(cpu[TABLES]),
            "ours, beside one table": f"{statistics.median(ratios):.2f} times (wanted: at most {MOST_TIMES})",
        }
    )
    return [one, ten]


def measure_days(rounds: int) -> Case:
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
    cpu: list[float] = []
    made = 0
    with open_instance() as recording:

        def run(_: int) -> None:
            nonlocal made
            began = time.process_time()
            outcome = materialize("*", Window.of_days(last, last), definitions=defs, instance=recording)
            assert outcome.success, outcome.failures
            cpu.append(time.process_time() - began)
            made = len(outcome.assets)

        taken = measure({OURS: run}, repeat=rounds, warm_up=WARM_UP)
    seconds = statistics.median(cpu[WARM_UP:])
    return Case(
        f"a warm day of all {made} assets",
        taken,
        seen={"processor time, Millpond": f"{seconds:.2f} s (wanted by the clock: {MOST_SECONDS:g} s)"},
    )


def _make_rows(first: int, days: int, each: int, seed: int) -> Any:
    import pyarrow as pa

    ids = range(first * each, (first + days) * each)
    numbers = {f"value_{n}": [float((i * 7 + n + seed) % 400) for i in ids] for n in range(3)}
    day = [START + dt.timedelta(i // each) for i in ids]
    return pa.table({"id": list(ids), "day": day, "name": [f"device {i % 9}" for i in ids], **numbers})


def _count_calls(work: Callable[[], object]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def _say_milliseconds(taken: list[float]) -> str:
    return f"{statistics.median(taken[WARM_UP:]) * 1000:.0f} ms"


if __name__ == "__main__":
    main()
