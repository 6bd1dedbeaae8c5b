"""How long backfills take, from the command to the prompt, beside Dagster's own, one run a partition.

    python bench/backfill.py [--days 7,30,92,365] [--rows 288,5000] [--repeat 3] [--dagster-days 8]

Each of `--rows` has a home of its own, which is removed at the end, and a server in this process with that
many readings a day. Ours is repeated, each time with days that the home does not have yet (`--again`: with
days that it has); in between, Dagster's daemon backfills `--dagster-days` other days of the same home, and
`dagster asset materialize` makes `--command-days` more, a command each: what a day takes there is their
average. Writes `docs/img/backfill.svg` and `bench/results/backfill.json`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from chart import draw
from daemon_backfill import daemon, seconds_a_partition
from nightscout import serve

LAST, DAEMONS, COMMANDS = dt.date(2026, 10, 31), dt.date(2019, 6, 30), dt.date(2018, 6, 30)
"""Where the days of each way end; earlier ones follow."""
ASSETS = ("dlt_glucose_entries", "stg_glucose_entries", "fct_glucose_readings")
ASSETS += ("fct_daily_glucose_metrics", "fct_daily_glucose_quality", "mrt_glucose_readings")
WAYS = {
    "millpond backfill": "median",
    "Dagster's daemon, a run a day (extrapolated)": "daemon",
    "dagster asset materialize, a command a day": "commands",
}
"""The names of the ways in the chart, each with that of its seconds in the results."""
BIN, ROOT = Path(sys.executable).parent, Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time backfills beside Dagster's own.")
    parser.add_argument("--days", default="7,30,92,365")
    parser.add_argument("--rows", default="288,5000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dagster-days", type=int, default=8, help="0: do not run Dagster's own")
    parser.add_argument("--command-days", type=int, default=2, help="of `dagster asset materialize`")
    parser.add_argument("--again", action="store_true", help="re-do the same days in each round")
    parser.add_argument("--out", type=Path, default=ROOT)
    asked = parser.parse_args()
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gigabytes": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }
    print(json.dumps(machine))
    print(f"{'rows a day':>10} {'days':>5} {'ours: min':>10} {'median':>8} {'max s':>8} {'MB':>6}"
          f" {'daemon s':>10} {'times':>6} {'commands s':>10} {'times':>6}")  # fmt: skip
    found: list[dict[str, Any]] = []
    for rows in map(int, asked.rows.split(",")):
        sizes = [int(days) for days in asked.days.split(",")]
        sized = (rows, sizes, asked.repeat, asked.dagster_days, asked.command_days, asked.again)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # settings are read once in a process
            found += process.submit(one, *sized).result()
    results = asked.out / "bench" / "results" / "backfill.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps({"machine": machine, "sizes": found}, indent=1) + "\n")
    if bars := {f"{f['days']} days of {f['rows_a_day']:,} rows": _seconds(f) for f in found if f["daemon"]}:
        title = "Backfill of five assets, from the command to the prompt"
        draw(bars, title, asked.out / "docs" / "img" / "backfill.svg")


def _seconds(found: dict[str, Any]) -> dict[str, float]:
    return {way: found[name] for way, name in WAYS.items() if found[name]}


def one(
    rows: int, sizes: list[int], repeat: int, dagster_days: int, command_days: int, again: bool
) -> list[dict[str, Any]]:
    """Return what each of `sizes` takes with so many rows a day; prints it as well."""
    measured: dict[int, list[tuple[float, float]]] = {days: [] for days in sizes}
    daemon_took: list[float] = []
    commands_took: list[float] = []
    with _home(rows) as environment:
        _ours(LAST, 1, environment)  # parses the dbt project, as the first command of a home does
        end = LAST - dt.timedelta(days=1)
        for number in range(repeat):
            for days in sizes:
                measured[days].append(_ours(end, days, environment))
                end = end if again else end - dt.timedelta(days=days)
            if dagster_days:
                daemon_took.append(_theirs(dagster_days, number, environment))
            commands_took += [_command(number * command_days + n, environment) for n in range(command_days)]
    by_daemon, by_command = (statistics.median(took or [0.0]) for took in (daemon_took, commands_took))
    found = []
    for days, both in measured.items():
        seconds = sorted(second for second, _ in both)
        median, most = statistics.median(seconds), max(megabytes for _, megabytes in both)
        print(f"{rows:>10} {days:>5} {seconds[0]:>10.1f} {median:>8.1f} {seconds[-1]:>8.1f} {most:>6.0f}"
              f" {by_daemon * days:>10.0f} {by_daemon * days / median:>6.1f}"
              f" {by_command * days:>10.0f} {by_command * days / median:>6.1f}", flush=True)  # fmt: skip
        found.append(
            {"rows_a_day": rows, "days": days, "seconds": seconds, "median": median, "megabytes": most}
            | {"daemon_seconds_a_day": daemon_took, "daemon": by_daemon * days}
            | {"command_seconds_a_day": commands_took, "commands": by_command * days}
        )
    return found


def _command(number: int, environment: dict[str, str]) -> float:
    day = str(COMMANDS - dt.timedelta(days=number))
    select = ("asset", "materialize", "--select", ",".join(ASSETS), "--partition", day)
    return timed([str(BIN / "dagster"), *select, "-m", "millpond.definitions"], environment)[0]


def _ours(end: dt.date, days: int, environment: dict[str, str]) -> tuple[float, float]:
    span = ("--start-date", str(end - dt.timedelta(days=days - 1)), "--end-date", str(end))
    command = [str(BIN / "millpond"), "backfill", ",".join(ASSETS), *span, "--force", "--yes"]
    return timed(command, environment)


def _theirs(days: int, number: int, environment: dict[str, str]) -> float:
    from millpond.instance.home import open_instance

    os.environ.update({name: environment[name] for name in environment if name.startswith("MILLPOND_")})
    end = DAEMONS - dt.timedelta(days=days * number)
    wanted = [str(end - dt.timedelta(days=day)) for day in range(days)][::-1]
    home = Path(environment["MILLPOND_HOME"])
    with open_instance() as recording, daemon(environment, home / "daemon.log"):
        return seconds_a_partition(recording, ASSETS, wanted)


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the wall seconds of a command and the most megabytes that it and its children held."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
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


@contextmanager
def _home(rows: int) -> Iterator[dict[str, str]]:
    home, server = Path(tempfile.mkdtemp(prefix="millpond-bench-")), serve(rows)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "MILLPOND_HOME": str(home), "MILLPOND_NIGHTSCOUT_URL": url}
    environment |= {"MILLPOND_START_DATE": "2018-01-01", "DAGSTER_HOME": str(home / "dagster")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield environment
    finally:
        server.shutdown()
        subprocess.run([str(BIN / "millpond"), "down"], env=environment, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
