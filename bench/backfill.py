"""How long backfills take, from the command to the prompt, beside Dagster's own, one run a partition.

    python bench/backfill.py [--days 7,30,92,365] [--rows 288,5000] [--all-days 92] [--repeat 3]
        [--dagster-days 4] [--command-days 1] [--again] [--quick]

Each of `--rows` has a home of its own, which is removed at the end, and a server in this process with that
many readings a day. Ours is repeated, each time with days that the home does not have yet (`--again`: with
days that it has); in between, Dagster's daemon backfills `--dagster-days` other days of the same home, and
`dagster asset materialize` makes `--command-days` more, a command each: what a day takes there, times the
days of the case, is their figure. Every asset is backfilled from the sources of the demo, by ours alone.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil
from daemon_backfill import daemon, seconds_a_partition
from nightscout import serve
from pairs import OURS, Case, numbers, own_home, report

LAST, DAEMONS, COMMANDS = dt.date(2026, 10, 31), dt.date(2019, 6, 30), dt.date(2018, 6, 30)
"""Where the days of each way end; earlier ones follow."""
ASSETS = ("dlt_glucose_entries", "stg_glucose_entries", "fct_glucose_readings")
ASSETS += ("fct_daily_glucose_metrics", "fct_daily_glucose_quality", "mrt_glucose_readings")
DAEMON, COMMAND = "Dagster's daemon, a run a day (extrapolated)", "dagster asset materialize, a day each"
MOST_SECONDS = {
    "365 days of 288 rows, five assets": 10,
    "365 days of 5,000 rows, five assets": 35,
    "92 days of every asset": 8,
}
"""What ours is wanted to take at most."""
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=numbers, default=[7, 30, 92, 365])
    parser.add_argument("--rows", type=numbers, default=[288, 5000], help="a day")
    parser.add_argument("--all-days", type=int, default=92, help="of every asset; 0: none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dagster-days", type=int, default=4, help="0: do not run Dagster's daemon")
    parser.add_argument("--command-days", type=int, default=1, help="of `dagster asset materialize`")
    parser.add_argument("--again", action="store_true", help="re-do the same days in each round")
    parser.add_argument("--quick", action="store_true", help="two days, a round: to see that it works")
    asked = parser.parse_args()
    sizes, several, all_days = asked.days, asked.rows, asked.all_days
    if asked.quick:
        sizes, several, all_days = [2], [24], 2
    repeat, days = (1, (1, 1)) if asked.quick else (asked.repeat, (asked.dagster_days, asked.command_days))
    work = [partial(fill_rows, rows, sizes, repeat, *days, again=asked.again) for rows in several]
    work += [partial(fill_all, all_days, repeat)] if all_days else []
    cases: list[Case] = []
    for one in work:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # a process has one home
            cases += process.submit(one).result()
    title = "Backfills, from the command to the prompt"
    report("backfill", title, cases, keep=not (asked.quick or asked.again))


def fill_rows(
    rows: int, sizes: list[int], repeat: int, dagster_days: int, command_days: int, *, again: bool
) -> list[Case]:
    """Backfill five assets over each of `sizes` days of so many rows, in each round."""
    measured: dict[int, list[tuple[float, float]]] = {days: [] for days in sizes}
    a_day: dict[str, list[float]] = {DAEMON: [], COMMAND: []}
    server = serve(rows)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with own_home(NIGHTSCOUT_URL=url, START_DATE="2018-01-01") as home:
        _backfill(ASSETS, LAST, 1)  # parses the dbt project, as the first command of a home does
        end = LAST - dt.timedelta(days=1)
        for number in range(repeat):
            for days in sizes:
                measured[days].append(_backfill(ASSETS, end, days))
                end = end if again else end - dt.timedelta(days=days)
            if dagster_days:
                a_day[DAEMON].append(_by_daemon(dagster_days, number, home))
            if command_days:
                took = [_by_command(number * command_days + n) for n in range(command_days)]
                a_day[COMMAND].append(statistics.mean(took))
    server.shutdown()
    return [
        _describe(
            f"{days} days of {rows:,} rows, five assets",
            both,
            {way: [took * days for took in each] for way, each in a_day.items() if each},
        )
        for days, both in measured.items()
    ]


def fill_all(days: int, repeat: int) -> list[Case]:
    """Backfill every asset over so many days in each round."""
    with own_home():
        from millpond.partitions import latest_complete_day
        from millpond.runtime.databases import databases
        from millpond.runtime.demo_source import ensure_demo_source, mark_demo_home
        from millpond.settings import settings

        databases()
        mark_demo_home(settings())
        ensure_demo_source(settings())
        last = latest_complete_day(settings().zone)
        _backfill(["*"], last, 1)
        both = [_backfill(["*"], last - dt.timedelta(1 + days * n), days) for n in range(repeat)]
    return [_describe(f"{days} days of every asset", both, {})]


def _describe(case: str, both: list[tuple[float, float]], others: dict[str, list[float]]) -> Case:
    """Make a case of the seconds and megabytes of each round, and of the seconds of other ways."""
    seconds, megabytes = zip(*both, strict=True)
    seen = {"memory, Millpond": f"{max(megabytes):,.0f} MB"}
    if len(both) > 1:
        seen["the last round, Millpond, beside the first"] = f"{seconds[-1] / seconds[0]:.2f} times"
    if case in MOST_SECONDS:
        seen["wanted of Millpond"] = f"at most {MOST_SECONDS[case]} s"
    return Case(case, {OURS: [round(took, 2) for took in seconds], **others}, seen=seen)


def _by_command(number: int) -> float:
    day = str(COMMANDS - dt.timedelta(days=number))
    select = ("asset", "materialize", "--select", ",".join(ASSETS), "--partition", day)
    return _time([str(BIN / "dagster"), *select, "-m", "millpond.definitions"])[0]


def _backfill(assets: list[str] | tuple[str, ...], end: dt.date, days: int) -> tuple[float, float]:
    span = ("--start-date", str(end - dt.timedelta(days=days - 1)), "--end-date", str(end))
    return _time([str(BIN / "millpond"), "backfill", ",".join(assets), *span, "--force", "--yes"])


def _by_daemon(days: int, number: int, home: Path) -> float:
    from millpond.instance.home import open_instance

    end = DAEMONS - dt.timedelta(days=days * number)
    wanted = [str(end - dt.timedelta(days=day)) for day in range(days)][::-1]
    with open_instance() as recording, daemon(_with_instance(), home / "daemon.log"):
        return seconds_a_partition(recording, ASSETS, wanted)


def _with_instance() -> dict[str, str]:
    """Return the environment of programs of Dagster's own, which look for their instance there."""
    return {**os.environ, "DAGSTER_HOME": str(Path(os.environ["MILLPOND_HOME"]) / "dagster")}


def _time(command: list[str]) -> tuple[float, float]:
    """Return the wall seconds of a command and the most megabytes that it and its children held."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=_with_instance(), stdout=said, stderr=said)
        most, over = [0.0], threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, most, over))
        watch.start()
        code = process.wait()
        seconds = time.perf_counter() - began
        over.set()
        watch.join()
        said.seek(0)
        if code:
            sys.exit(f"{' '.join(command)}\n{said.read()}")
    return seconds, most[0]


def _watch(pid: int, most: list[float], over: threading.Event) -> None:
    while not over.wait(0.5):
        try:
            own = psutil.Process(pid)
            held = sum(_held(process) for process in [own, *own.children(recursive=True)])
            most[0] = max(most[0], held / 2**20)
        except psutil.NoSuchProcess:
            continue


def _held(process: psutil.Process) -> int:
    """Return the bytes of a process, what it shares with others counted in part where that is known."""
    found = process.memory_full_info()
    return int(getattr(found, "pss", 0) or found.rss)


if __name__ == "__main__":
    main()
