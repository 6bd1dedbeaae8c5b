"""How long branches of a lake with 30 tables take: create, diff of pointers, merge, drop; medians.

    python bench/branches.py [--rounds 20] [--others 0,200]

Works in a home of its own, which is removed at the end. Each round does every step once, so that steps
are compared under the same load; all of it again beside each number of other branches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from pairs import numbers, own_home

TABLES, CHANGED, TARGET = 30, 10, 0.050


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--others", type=numbers, default="0,200", help="branches that are there beside")
    asked = parser.parse_args()
    with own_home():
        from millpond.lake import refs

        there = 0
        for others in asked.others:
            for number in range(there, others):
                refs.create(f"other_{number}")
            there = others
            print(f"beside {others} other branches")
            measure_steps(asked.rounds)


def measure_steps(rounds: int) -> None:
    """Do each step in each round, and print what it took."""
    import pyarrow as pa

    from millpond.lake import refs
    from millpond.lake.tables import Replacement, TableSpec, replace

    def write(ref: str, tables: int, value: int) -> None:
        data = pa.table({"id": [1, 2, 3], "value": [value] * 3})
        specs = [TableSpec(f"gold.table_{n:02}", data.schema, key=("id",)) for n in range(tables)]
        replace([Replacement(spec, data, None) for spec in specs], ref=ref, run_id="bench")

    taken: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        taken[step].append(time.perf_counter() - began)

    write("main", TABLES, -1)
    for number in range(rounds + 1):
        with timed(f"create, {TABLES} tables"):
            refs.create("bench")
        write("bench", CHANGED, number)
        with timed(f"list what changed in {CHANGED} of them"):
            refs.diff("bench")
        with timed(f"merge {CHANGED} of them, and drop"):
            refs.merge("bench")
        refs.create("bench")
        with timed("drop"):
            refs.drop("bench")
        refs.create("bench")
        write("bench", TABLES, rounds + number)
        with timed(f"merge all {TABLES}, and drop"):
            refs.merge("bench")
    for step, seconds in taken.items():
        measured = sorted(seconds[1:])
        median, high = statistics.median(measured), measured[int(len(measured) * 0.9)]
        verdict = (
            ""
            if step.startswith("list")
            else "  ok"
            if median < TARGET
            else f"  above {TARGET * 1000:.0f} ms"
        )
        print(f"{step:<36} median {median * 1000:6.1f} ms   9 in 10 below {high * 1000:6.1f} ms{verdict}")


if __name__ == "__main__":
    main()
