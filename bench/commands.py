"""How long a person waits for a command, with and without `millpond up`, beside those of others.

    python bench/commands.py [--days 365] [--repeat 5] [--quick]

In a home of its own, which is removed at the end, with `--days` of glucose readings. Postgres runs, as it
does from the first command on. duckdb reads the files of the same table; Dagster materializes the same asset
and day. `--help` stands beside an empty Python, which is the least that any of them takes, and `millpond up`
beside `dagster dev` with the same definitions and Postgres.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from nightscout import serve
from pairs import OURS, Case, Took, compared, measure, own_home, report

BIN = Path(sys.executable).parent
LAST = dt.date(2026, 10, 31)
ASSET = "dlt_glucose_entries"
DAGSTER_DEV_ENDS_SECONDS = 20.0
FORKED = "until runs and commands are forked, Millpond"
AGGREGATE = "select direction, count(*), avg(sgv) from {} group by all order by all"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="3 days, once: to see that it works")
    asked = parser.parse_args()
    days, repeat = (3, 1) if asked.quick else (asked.days, asked.repeat)
    first = LAST - dt.timedelta(days - 1)
    server = serve(288)
    with own_home(
        START_DATE=str(first - dt.timedelta(60)),
        NIGHTSCOUT_URL=f"http://127.0.0.1:{server.server_address[1]}",
        DASHBOARD="false",
        DAGSTER_PORT="0",
        CATALOG_PORT="0",
    ) as home:
        os.environ["DAGSTER_HOME"] = str(home / "dagster")
        run("millpond", "backfill", ASSET, "--start-date", str(first), "--end-date", str(LAST), "--yes")
        cases = _measure("", first, repeat)
        run("millpond", "up", "--detach")
        wait_until_forked(home)
        cases += _measure(", with `up`", first, repeat)
        run("millpond", "down")
        cases += _measure_up(home, repeat)
    server.shutdown()
    report("commands", "A command", cases, keep=not asked.quick)


def _measure(how: str, first: dt.date, repeat: int) -> list[Case]:
    from millpond.lake.catalog import LakeCatalog

    duckdb = compared("duckdb")
    scan = LakeCatalog("main").load_table(find_table()).scan()
    files = [task.file.file_path.removeprefix("file://") for task in scan.plan_files()]
    days = [str(first - dt.timedelta(n + (30 if how else 1))) for n in range(2 * (repeat + 1))]
    name = find_table()
    cases = {
        f"millpond --help{how}": {
            OURS: lambda _: run("millpond", "--help"),
            "an empty Python": lambda _: run("python", "-c", "pass"),
        },
        f'millpond sql "select 1"{how}': {
            OURS: lambda _: run("millpond", "sql", "select 1"),
            "duckdb -c": lambda _: run(duckdb, "-c", "select 1"),
        },
        f"millpond sql, an aggregate of {len(files)} files{how}": {
            OURS: lambda _: run("millpond", "sql", AGGREGATE.format(name)),
            "duckdb -c": lambda _: run(duckdb, "-c", AGGREGATE.format(f"read_parquet({files})")),
        },
        f"materialize one day of one asset{how}": {
            OURS: lambda turn: run("millpond", "materialize", ASSET, "--partition", days[2 * turn]),
            "dagster asset materialize": lambda turn: run(
                *("dagster", "asset", "materialize", "-m", "millpond.definitions"),
                *("--select", ASSET, "--partition", days[2 * turn + 1]),
            ),
        },
    }
    return [Case(case, measure(ways, repeat=repeat)) for case, ways in cases.items()]


def _measure_up(home: Path, repeat: int) -> list[Case]:
    """Time `millpond up` until its pages are up, beside `dagster dev` until it has loaded the same code.

    What runs and commands are forked from is up later; they work before, in processes of their own or after
    a wait.
    """
    warm: list[float] = []
    ways = {OURS: lambda _: time_up(home, warm), "dagster dev": lambda _: time_dagster_dev()}
    taken = measure(ways, repeat=repeat)
    seen = {FORKED: f"{statistics.median(warm[1:]):.2f} s"}
    cases = [Case("millpond up, in a home with data", taken, seen=seen)]
    warm_of_empty: list[float] = []

    def start_empty(turn: int) -> Took:
        empty = home.with_name(f"{home.name}-{turn}")
        empty.mkdir(mode=0o711)
        try:
            return time_up(empty, warm_of_empty)
        finally:
            shutil.rmtree(empty, ignore_errors=True)

    taken = measure({OURS: start_empty}, repeat=repeat)
    seen = {FORKED: f"{statistics.median(warm_of_empty[1:]):.2f} s"}
    return [*cases, Case("millpond up, in an empty home", taken, seen=seen)]


def time_up(home: Path, warm: list[float]) -> Took:
    """Return the seconds until `millpond up --detach` has returned, then stop it.

    Adds to `warm` those until runs and commands are forked.
    """
    environment = {**os.environ, "MILLPOND_HOME": str(home)}
    began = time.perf_counter()
    run("millpond", "up", "--detach", environment=environment)
    took = Took(time.perf_counter() - began)
    wait_until_forked(home)
    warm.append(time.perf_counter() - began)
    run("millpond", "down", environment=environment)
    return took


def wait_until_forked(home: Path) -> None:
    """Wait until runs and commands of a home are forked."""
    from millpond.runtime.processes import find_recorded
    from millpond.runtime.warm_client import COMMAND_SERVER, RUN_SERVER

    for name in (RUN_SERVER, COMMAND_SERVER):
        while not ((part := find_recorded(home / "run", name)) and part.ready):
            time.sleep(0.05)


def time_dagster_dev() -> Took:
    """Return the seconds until the pages of `dagster dev` have loaded the definitions, then end it."""
    from millpond.runtime.dagster_health import check_webserver
    from millpond.runtime.part import NO_ANSWER, UP

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "dagster"), "dev", "-m", "millpond.definitions", "-h", "127.0.0.1", "-p", str(port)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with suppress(*NO_ANSWER):
                if check_webserver(port).state == UP:
                    return Took(time.perf_counter() - began)
            time.sleep(0.1)
    finally:
        children = [each for each in psutil.Process().children(recursive=True) if each.pid != process.pid]
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(DAGSTER_DEV_ENDS_SECONDS)
        _, left = psutil.wait_procs(children, DAGSTER_DEV_ENDS_SECONDS)
        for each in [process, *left]:  # now and then it waits for its code server for ever
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
    sys.exit("dagster dev ended")


def find_table() -> str:
    """Return the name of the raw table of the asset."""
    from millpond.ingestion.reading import load_sources
    from millpond.settings import settings

    tables = (table for source in load_sources(settings()) for table in source.tables)
    return next(table.raw_table for table in tables if table.asset == ASSET)


def run(program: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run a command of the installation, or another program by its path."""
    found = program if "/" in program else BIN / program
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
