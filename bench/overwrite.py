"""A write of ours beside PyIceberg's public `overwrite`, on equal tables of one lake; medians of pairs.

    python bench/overwrite.py [PAIRS]

Works in a home of its own, which is removed at the end. Both write the same rows in turn, each into its own
table, so that they are compared under the same load. CPU is that of this process.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

START = dt.date(2026, 1, 1)
CASES = {
    # days in the table, rows of a day, days that a write replaces, columns of numbers beside id, day and name
    "20,000 rows, the whole table": (20, 1_000, 20, 3),
    "20,000 rows, whole, 30 columns": (20, 1_000, 20, 30),
    "one day of 30, 667 rows": (30, 667, 1, 3),
    "one day of 365, 288 rows": (365, 288, 1, 3),
    "92 days of 365, 26,496 rows": (365, 288, 92, 3),
    "one month of 12, 200,000 rows": (360, 6_667, 30, 3),
}


def main(pairs: int) -> None:
    import pyarrow as pa
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

    from millpond.lake.catalog import LakeCatalog
    from millpond.lake.spec import Replacement, TableSpec
    from millpond.lake.tables import replace
    from millpond.partitions import Window

    def rows(first: int, days: int, each: int, columns: int, seed: int) -> pa.Table:
        day = [START + dt.timedelta(first + n // each) for n in range(days * each)]
        ids = range(first * each, (first + days) * each)
        numbers = {f"value_{n}": [float((i * 7 + n + seed) % 400) for i in ids] for n in range(columns)}
        return pa.table({"id": list(ids), "day": day, "name": [f"device {i % 9}" for i in ids], **numbers})

    for number, (case, (all_days, each, days, columns)) in enumerate(CASES.items()):
        whole = rows(0, all_days, each, columns, 0)
        specs = {
            who: TableSpec(f"gold.{who}_{number}", whole.schema, "day", grain="month")
            for who in ("ours", "public")
        }
        for spec in specs.values():
            window = Window.of_days(START, START + dt.timedelta(all_days - 1))
            replace([Replacement(spec, whole, window)], ref="main", run_id="bench")
        first = (all_days - days) // 2
        low, high = (START + dt.timedelta(n) for n in (first, first + days))
        inside = And(GreaterThanOrEqual("day", low.isoformat()), LessThan("day", high.isoformat()))

        def ours(
            data: pa.Table, spec: TableSpec = specs["ours"], low: dt.date = low, high: dt.date = high
        ) -> None:
            window = Window.of_days(low, high - dt.timedelta(1))
            replace([Replacement(spec, data, window)], ref="main", run_id="bench")

        def public(data: pa.Table, spec: TableSpec = specs["public"], inside: And = inside) -> None:
            table = LakeCatalog("main").load_table(spec.name)
            with table.transaction() as transaction:
                transaction.overwrite(data, overwrite_filter=inside)

        taken: dict[str, list[tuple[float, float]]] = {"ours": [], "public": []}
        for turn in range(pairs + 1):
            data = rows(first, days, each, columns, turn + 1)
            pair = [("ours", ours), ("public", public)]
            for who, write in pair if turn % 2 else reversed(pair):
                taken[who].append(_timed(lambda write=write, data=data: write(data)))
        held = {who: LakeCatalog("main").load_table(spec.name) for who, spec in specs.items()}
        scans = {who: table.scan().to_arrow().sort_by("id") for who, table in held.items()}
        assert scans["ours"].select(["id", "value_0"]) == scans["public"].select(["id", "value_0"])
        print(case)
        for who, table in held.items():
            wall, cpu = (statistics.median(each[of] for each in taken[who][1:]) for of in (0, 1))
            files = len(list(table.scan().plan_files()))
            snapshots = len(table.metadata.snapshots) - 1
            print(
                f"  {who:<7} {wall * 1000:7.0f} ms  {cpu * 1000:7.0f} ms CPU"
                f"  {snapshots / (pairs + 1):.1f} snapshots a write, {files} files in the end"
            )


def _timed(write: Callable[[], None]) -> tuple[float, float]:
    began = time.perf_counter(), time.process_time()
    write()
    return time.perf_counter() - began[0], time.process_time() - began[1]


if __name__ == "__main__":
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(home)
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
