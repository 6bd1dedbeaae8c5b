"""What grows with days, rows and tables: a read, a write and a commit, each beside plain Parquet files.

    python bench/growth.py [--days 100,1000,10000] [--rows 10000,100000,1000000,10000000]
                           [--tables 1,10,100] [--repeat 3] [--quick]

Days: one day is read from a table of that many. Rows: a day of that many replaces the one before. Tables:
that many are written in one commit. The same rows in Parquet files, without catalog, snapshot or lock, are
written by one thread. Works in a home of its own, which is removed at the end. What many commits cost is
measured by retention.py, branches by branches.py, a day written again by rerun.py.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pairs import OURS, Case, measure, numbers, own_home, report

START = dt.date(1999, 1, 1)
LIMIT = "these rows alone, as Parquet files"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=numbers, default="100,1000,10000")
    parser.add_argument("--rows", type=numbers, default="10000,100000,1000000,10000000")
    parser.add_argument("--tables", type=numbers, default="1,10,100")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes, once: to see that it works")
    asked = parser.parse_args()
    days, rows, tables, repeat = asked.days, asked.rows, asked.tables, asked.repeat
    if asked.quick:
        days, rows, tables, repeat = [10, 100], [100, 1000], [1, 3], 1
    with own_home() as home:
        cases = [
            *_compare("a day of 288 rows read from a table of {:,} days", days, repeat, _read_day, home),
            *_compare("{:,} rows a day written", rows, repeat, _write_rows, home),
            *_compare("{:,} tables of 1,000 rows in one commit", tables, repeat, _write_tables, home),
        ]
    report("growth", "Growth", cases, keep=not asked.quick)


def _compare(
    name: str, sizes: Sequence[int], repeat: int, make: Callable[[int, Path], dict[str, Any]], home: Path
) -> list[Case]:
    cases = [Case(name.format(size), measure(make(size, home), repeat=repeat)) for size in sizes]
    for before, size, former, case in zip(sizes, sizes[1:], cases, cases[1:], strict=False):
        more, longer = size / before, _middle(case) / _middle(former)
        case.seen["ours, beside the line before"] = f"{longer:.2f} times as long for {more:g} times as many"
    return cases


def _middle(case: Case) -> float:
    return statistics.median(case.taken[OURS])


def _make(rows: int, first: dt.date, rows_of_day: int, seed: int = 0) -> Any:
    import numpy as np
    import pyarrow as pa

    ids = np.arange(rows)
    days = np.datetime64(first) + (ids // rows_of_day).astype("timedelta64[D]")
    return pa.table(
        {
            "id": ids,
            "day": pa.array(days.astype("datetime64[D]")),
            "value": (ids * 7 + seed) % 400 / 4,
            "device": pa.array(np.char.add("device ", (ids % 97).astype(str))),
        }
    )


def _replace(tables: Sequence[tuple[str, Any]], first: dt.date, days: int) -> None:
    from millpond.lake.tables import Replacement, TableSpec, replace
    from millpond.partitions import Window

    window = Window.of_days(first, first + dt.timedelta(days - 1))
    replace(
        [
            Replacement(TableSpec(name, data.schema, "day", key=("id",), grain="month"), data, window)
            for name, data in tables
        ],
        ref="main",
        run_id="bench",
    )


def _read_day(days: int, home: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from millpond.lake import read
    from millpond.partitions import Window

    name, asked, file = f"raw.days_{days}", START + dt.timedelta(days // 2), home / f"days_{days}.parquet"
    _replace([(name, _make(288 * days, START, 288))], START, days)
    pq.write_table(_make(288, asked, 288), file)

    def ours(_: int) -> None:
        assert read.scan("main", name, window=Window.of_day(asked)).num_rows == 288

    return {OURS: ours, "a Parquet file of that day (the limit)": lambda _: pq.read_table(file)}


def _write_rows(rows: int, home: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    name, file, data = f"raw.rows_{rows}", home / f"rows_{rows}.parquet", {}

    def of(turn: int) -> Any:
        if turn not in data:
            data.clear()
            data[turn] = _make(rows, START, rows, turn)
        return data[turn]

    of(0)
    return {
        OURS: lambda turn: _replace([(name, of(turn))], START, 1),
        LIMIT: lambda turn: pq.write_table(of(turn), file, compression="zstd"),
    }


def _write_tables(number: int, home: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    def files(turn: int) -> None:
        for n in range(number):
            pq.write_table(_make(1000, START, 1000, turn), home / f"tables_{n}.parquet", compression="zstd")

    return {
        OURS: lambda turn: _replace(
            [(f"gold.t{number}_{n}", _make(1000, START, 1000, turn)) for n in range(number)], START, 1
        ),
        LIMIT: files,
    }


if __name__ == "__main__":
    main()
