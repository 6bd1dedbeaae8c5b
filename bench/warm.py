"""How long ranges of days take in a process that is warm: every asset for a day, the glucose chain for more.

    python bench/warm.py [--rounds 7]

Works in a home of its own, which is removed at the end, against the demo source. A day of every asset is
nearly all Python, in one thread, so a figure of the machine itself stands beside it: how many numbers a
second Python adds in a loop. A laptop of 2023 adds about 20 million.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

CASES = (
    ("*", 1, 3.0),
    ("*", 30, None),
    ("dlt_glucose_entries*", 92, 10.0),
    ("dlt_glucose_entries*", 365, 15.0),
)
"""What to materialize, for how many days, and the seconds it is meant to take."""


def main(rounds: int) -> None:
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
        for selection, days, target in CASES:
            window = Window.of_days(last.fromordinal(last.toordinal() - days + 1), last)
            taken, cpu, speed = [], [], []
            for _ in range(rounds + 2):
                speed.append(_additions())
                began, began_cpu = time.perf_counter(), time.process_time()
                outcome = materialize(selection, window, definitions=defs, instance=recording)
                taken.append(time.perf_counter() - began)
                cpu.append(time.process_time() - began_cpu)
                assert outcome.success, outcome.failures
            warm = taken[2:]
            meant = "" if target is None else f"  meant: {target:.0f} s"
            print(
                f"{selection:<22} {days:>3} days  median {statistics.median(warm):5.2f} s"
                f"  ({min(warm):.2f}-{max(warm):.2f}, {statistics.median(cpu[2:]):.2f} s of CPU){meant}"
                f"  {statistics.median(speed):.0f} M additions/s",
                flush=True,
            )


def _additions() -> float:
    """Return how many million numbers Python adds in a second, now."""
    began, total = time.perf_counter(), 0
    for number in range(1_000_000):
        total += number
    return 1 / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds; two more come first")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(home)
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        main(asked.rounds)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
