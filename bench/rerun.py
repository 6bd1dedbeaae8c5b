"""One day written again into tables of many days, beside two ways of PyIceberg; medians of turns.

    python bench/rerun.py [--days 10,100,1000,10000] [--rows 288] [--repeat 5] [--quick]

Ours replaces the day. PyIceberg deletes the day's keys and appends, in one transaction, or upserts by key.
Each has a table of its own, by month, with as many days; all write the same rows. A Parquet file of these
rows shows what the disk takes. Works in a home of its own, which is removed at the end.
"""

from __future__ import annotations

import argparse
import datetime as dt
from typing import Any

from pairs import OURS, Case, measure, numbers, own_home, report

START = dt.date(1999, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=numbers, default="10,100,1000,10000")
    parser.add_argument("--rows", type=int, default=288, help="of a day")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="10 and 100 days, once: to see that it works")
    asked = parser.parse_args()
    sizes, repeat = ([10, 100], 1) if asked.quick else (asked.days, asked.repeat)
    with own_home():
        cases = [_measure(days, asked.rows, repeat) for days in sizes]
    first = cases[0].taken[OURS]
    for each in cases[1:]:
        middle = sorted(each.taken[OURS])[len(first) // 2] / sorted(first)[len(first) // 2]
        each.seen["ours, beside the smallest table"] = f"{middle:.2f} times (wanted: 0.8 to 1.2)"
    report("rerun", "One day written again", cases, keep=not asked.quick)


def _make(first: int, days: int, rows: int, seed: int) -> Any:
    import pyarrow as pa

    numbers = range(first * rows, (first + days) * rows)
    return pa.table(
        {
            "id": pa.array([f"{n:012d}" for n in numbers]),
            "day": pa.array([START + dt.timedelta(n // rows) for n in numbers]),
            "value": pa.array([float((n * 7 + seed) % 400) for n in numbers]),
            "device": pa.array([f"device {n % 9}" for n in numbers]),
        }
    )


def _measure(days: int, rows: int, repeat: int) -> Case:
    import pyarrow.parquet as pq
    from pyiceberg.expressions import In

    from millpond.lake.catalog import LakeCatalog
    from millpond.lake.tables import Replacement, TableSpec, replace
    from millpond.partitions import Window
    from millpond.settings import settings

    whole = _make(0, days, rows, 0)
    names = {who: f"raw.{who}_{days}" for who in ("ours", "deleted", "upserted")}
    for name in names.values():
        spec = TableSpec(name, whole.schema, window_column="day", key=("id",), grain="month")
        window = Window.of_days(START, START + dt.timedelta(days - 1))
        replace([Replacement(spec, whole, window)], ref="main", run_id="bench")
    spec = TableSpec(names["ours"], whole.schema, window_column="day", key=("id",), grain="month")
    number = days // 2
    data = [_make(number, 1, rows, turn + 1) for turn in range(repeat + 1)]
    file = settings().home / "day.parquet"

    def replace_day(turn: int) -> None:
        window = Window.of_day(START + dt.timedelta(number))
        replace([Replacement(spec, data[turn], window)], ref="main", run_id=f"bench {turn}")

    def delete_and_append(turn: int) -> None:
        table = LakeCatalog("main").load_table(names["deleted"])
        with table.transaction() as transaction:
            transaction.delete(In("id", data[turn]["id"].to_pylist()))
            transaction.append(data[turn])

    def upsert(turn: int) -> None:
        LakeCatalog("main").load_table(names["upserted"]).upsert(data[turn], join_cols=["id"])

    taken = measure(
        {
            OURS: replace_day,
            "PyIceberg, keys deleted and appended": delete_and_append,
            "PyIceberg upsert": upsert,
            "these rows as a Parquet file (the limit)": lambda turn: pq.write_table(data[turn], file),
        },
        repeat=repeat,
    )
    scans = [LakeCatalog("main").load_table(name).scan().to_arrow().sort_by("id") for name in names.values()]
    assert all(scan.select(whole.column_names) == scans[0].select(whole.column_names) for scan in scans)
    return Case(f"a table of {days:,} days", taken)


if __name__ == "__main__":
    main()
