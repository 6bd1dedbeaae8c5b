"""What the benchmarks share: ways of doing the same, measured in turn, and a home of their own to do it in.

Each way is done once before anything counts. Then all are done in each of `repeat` turns, each turn beginning
with another one, so that a machine that becomes slower slows them all; ratios are taken turn by turn.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
OURS = "Millpond"
Way = Callable[[int], object]
"""Does the work of a turn, whose number it gets; what it returns is not looked at, but for `Took`."""


class Took(float):
    """The seconds that a way took, where it knows better than who called it: a part was preparation."""


def numbers(text: str) -> list[int]:
    """Read the value of an option: whole numbers with commas between them."""
    return [int(each) for each in text.split(",")]


@dataclass(frozen=True)
class Case:
    """What ways took for the same work, in seconds by turn.

    `bars` are the ratios to ours that are wanted at least, by the name of the other way; `seen` are facts,
    such as what a reader met meanwhile.
    """

    case: str
    taken: dict[str, list[float]]
    bars: dict[str, float] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def ratio(self, other: str) -> float:
        """Return the median over the turns of how many times as long as ours the other way takes."""
        pairs = zip(self.taken[other], self.taken[OURS], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)


def measure(ways: Mapping[str, Way], *, repeat: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Do all ways in each turn, and return the seconds that each took, without the turns to warm up."""
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warm_up + repeat):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            gc.collect()
            began = time.perf_counter()
            own = ways[name](turn)
            taken[name].append(float(own) if isinstance(own, Took) else time.perf_counter() - began)
    return {name: [round(each, 4) for each in seconds[warm_up:]] for name, seconds in taken.items()}


def report(name: str, title: str, cases: Sequence[Case], *, keep: bool) -> None:
    """Print a line for each way of each case and, to `keep`, write all to bench/results."""
    for each in cases:
        print(f"{title}: {each.case}")
        for way, seconds in each.taken.items():
            beside = "" if way == OURS else f"  {each.ratio(way):6.2f} times ours"
            if way in each.bars:
                beside += f" (wanted: {each.bars[way]:g})"
            spread = f"{min(seconds):.3f}-{max(seconds):.3f}"
            print(f"  {way:<44} {statistics.median(seconds):8.3f} s ({spread}){beside}", flush=True)
        for fact, value in each.seen.items():
            print(f"  {fact}: {value}")
    if keep:
        keep_results(name, title, cases)


def keep_results(name: str, title: str, cases: Sequence[Case]) -> None:
    """Write the cases and what the machine is to bench/results."""
    RESULTS.mkdir(exist_ok=True)
    found = {"title": title, "machine": describe_machine(), "cases": [asdict(each) for each in cases]}
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def describe_machine() -> dict[str, Any]:
    """Return what figures of this machine depend on."""
    import psutil

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return {
        "processor": next(named, platform.processor()),
        "cores": os.cpu_count(),
        "gigabytes": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def compared(program: str) -> str:
    """Return the path of a program that ours is compared with; ends with advice if it is not there."""
    found = Path(sys.prefix) / "bench" / "bin" / program
    if not found.exists():
        sys.exit(f"{program} of the benchmarks is not installed: make .venv/.bench")
    return str(found)


@contextmanager
def own_home(**given: str) -> Iterator[Path]:
    """Have this process, and those it starts, use a new home in the block, and these settings."""
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ |= {f"MILLPOND_{name}": value for name, value in {**given, "HOME": str(home)}.items()}
    of_others = [name for name in os.environ if name.startswith("DAGSTER_")]  # `millpond env --export`
    for name in ("PYTHONDONTWRITEBYTECODE", *of_others):
        os.environ.pop(name, None)
    from millpond.runtime.down import down
    from millpond.settings import settings

    settings.cache_clear()
    try:
        yield home
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
