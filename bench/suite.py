"""All benchmarks, one after the other, and the page that shows their figures.

    python bench/suite.py [--only rerun,publish] [--quick] [--page]

Each is a program of its own with options of its own (`--help`); `--quick` does as little as shows that all
of it works, and keeps nothing. The others write bench/results/<name>.json. From these, `--page` alone, or the
end of a whole run, writes docs/benchmarks/README.md and a plot of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from chart import draw, format_seconds
from pairs import OURS, RESULTS, ROOT, Case

PAGE = ROOT / "docs" / "benchmarks" / "README.md"
BENCHES = ("commands", "launch", "rerun", "publish", "transform", "ingest", "growth", "commit", "backfill")
BEGIN = """# Benchmarks

What commands and writes take, beside what people use instead. Each way is done in turn with the others, on
the same data and machine, so compare the rows of a table with each other. The figures are medians, least and
most of the turns; the ratio to Millpond is the median of the turns' ratios, and above 1 Millpond is faster.
Some tables have a column `at least`: the ratio that this project wants of a release, where it wants one.
`make bench` measures all of it again (an hour); `make bench-quick` shows in minutes that it works. Each
program in `bench/` says in its first lines what it does. What makes backfills fast is in
[Fill and repair days](../backfills.md#speed), what many commits cost in
[Run on servers](../scale.md#what-it-costs-as-data-grows).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(BENCHES), help="names, with commas between them")
    parser.add_argument("--quick", action="store_true", help="as little as shows that they work")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page again")
    asked = parser.parse_args()
    if unknown := set(asked.only.split(",")) - {*BENCHES}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    for name in () if asked.page else asked.only.split(","):
        print(f"== {name}", flush=True)
        options = ["--quick"] if asked.quick else []
        subprocess.run([sys.executable, str(ROOT / "bench" / f"{name}.py"), *options], check=True)
    if not asked.quick:
        write_page(PAGE)


def write_page(page: Path) -> None:
    """Write the tables of all results that have cases, and a plot of each beside the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    for name, found in read_results().items():
        cases = {
            case["case"]: {way: _middle(seconds) for way, seconds in case["taken"].items()}
            for case in found["cases"]
        }
        draw(cases, found["title"], page.parent / f"{name}.svg")
    page.write_text(describe_all())


def describe_all() -> str:
    """Return the page: a section for each result."""
    return "\n".join([BEGIN, *(describe(found, name) for name, found in read_results().items())])


def read_results() -> dict[str, dict[str, Any]]:
    """Return the results that have cases, by the names of their benchmarks."""
    found = {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    return {name: one for name, one in found.items() if isinstance(one, dict) and "title" in one}


def describe(found: dict[str, Any], name: str) -> str:
    """Return the section of one result, with a row for each way of each case."""
    machine, cases = found["machine"], [Case(**each) for each in found["cases"]]
    with_bars = any(case.bars for case in cases)
    lines = [
        f"## {found['title']}\n",
        f"`bench/{name}.py`, on {machine['cores']} cores of {machine['processor']},"
        f" {machine['gigabytes']} GB, load {machine['load']} when it ended.\n",
        f"![{found['title']}]({name}.svg)\n",
        f"| case | way | median | least to most | beside Millpond |{' at least |' if with_bars else ''}",
        f"|---|---|---:|---:|---:|{'---:|' if with_bars else ''}",
    ]
    for case in cases:
        for number, (way, seconds) in enumerate(case.taken.items()):
            lines.append(
                f"| {'' if number else case.case} | {way} | {format_seconds(_middle(seconds))}"
                f" | {format_seconds(min(seconds))} to {format_seconds(max(seconds))}"
                f" | {'' if way == OURS else f'{case.ratio(way):,.2f}'} |"
                + (f" {case.bars.get(way, '–')} |" if with_bars else "")
            )
        end = "| | | |" if with_bars else "| | |"
        lines += [f"| | {fact} | {value} {end}" for fact, value in case.seen.items()]
    return "\n".join([*lines, ""])


def _middle(seconds: list[float]) -> float:
    return float(statistics.median(seconds))


if __name__ == "__main__":
    main()
