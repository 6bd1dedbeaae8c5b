"""How much CPU time ingestion takes beside tools that it stands on, which check, key and commit nothing.

    python bench/ingest.py [--rows 336776] [--repeat 5] [--cases postgres,sqlite,csv,parquet,api] [--quick]

All read the same rows, made by a rule, in turn; each time in a process of its own, which does the same with a
few of them before. CPU seconds and peak memory are those of that process: servers do not count. Prints the
median, least and most of each, and the ratio pair by pair. Works in a home of its own, removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from ingest_data import COLUMNS, DAYS, START, prepare
from pairs import OURS, Case, keep_results

TENTH = 10
"""A part of the rows is enough for a way that is slow."""
BARS = {"dlt_append": 5.0, "dlt_merge": 20.0, "fetch": 0.4, "duckdb": 0.4}
SQL, DLT = "a load of Millpond into the lake", "dlt sql_table, backend pyarrow, extracted to Parquet"
CASES = {
    "postgres": {"load": SQL, "dlt": DLT},
    "sqlite": {"load": SQL, "dlt": DLT},
    "csv": {"load": SQL, "duckdb": "DuckDB read_csv, copied to Parquet"},
    "parquet": {"load": SQL, "duckdb": "DuckDB read_parquet, copied to Parquet"},
    "api": {
        "load": SQL,
        "dlt_append": "dlt rest_api, appended to Iceberg",
        "dlt_replace": "dlt rest_api, replacing an Iceberg table",
        "dlt_merge": "dlt rest_api, merged into Iceberg (its time times 10)",
        "fetch": "requests, orjson, PyArrow's Parquet writer",
    },
}


def main(rows: int, repeat: int, cases: list[str], *, keep: bool) -> None:
    """Print what each of `cases` takes, and keep the seconds by the clock."""
    home = Path(os.environ["MILLPOND_HOME"])
    print(f"{rows:,} rows, load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sizes = {"warm": max(1, min(rows // 10, 50_000)), "tenth": rows // TENTH, "flights": rows}
    found_of: list[Case] = []
    with prepare(home, sizes, cases) as addresses:
        for case in cases:
            taken: dict[str, list[tuple[float, float, float]]] = {who: [] for who in CASES[case]}
            for turn in range(repeat):
                for who in CASES[case] if turn % 2 else reversed(CASES[case]):
                    taken[who].append(_measure(case, who, addresses[case], turn))
            named = {OURS if who == "load" else CASES[case][who]: taken[who] for who in taken}
            bars = {CASES[case][who]: bar for who, bar in BARS.items() if who in taken}
            walls = {way: [round(wall, 3) for _, wall, _ in found] for way, found in named.items()}
            seen = {
                f"processor time, {way}": f"{statistics.median(cpu for cpu, _, _ in found):.2f} s"
                for way, found in named.items()
            }
            found_of.append(Case(f"{rows:,} rows, {case}", walls, bars, seen))
            print(case)
            for who, found in taken.items():
                cpu, wall, most = zip(*found, strict=True)
                ratio = [ours[0] / theirs[0] for ours, theirs in zip(taken["load"], found, strict=True)]
                beside = "" if who == "load" else f"  a load takes {_spread(ratio)} times the CPU"
                print(
                    f"  {CASES[case][who]:<52} CPU {_spread(cpu)} s, {statistics.median(wall):5.2f} s by the"
                    f" clock, {max(most):5.0f} MB{beside}",
                    flush=True,
                )
    if keep:
        keep_results("ingest", "Loading from a source", found_of)


def _spread(values: Any) -> str:
    return f"{statistics.median(values):5.2f} ({min(values):.2f}-{max(values):.2f})"


def _measure(case: str, who: str, address: str, turn: int) -> tuple[float, float, float]:
    environment = {**os.environ, "MILLPOND_SHOP_URL": address, "BENCH_TURN": f"{case}_{turn}"}
    command = [sys.executable, __file__, "--one", case, "--way", who]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found: tuple[float, float, float] = tuple(json.loads(done.stdout.splitlines()[-1]))
    return found


def one(case: str, who: str) -> None:
    """Print CPU seconds, seconds by the clock and the most megabytes of this process, as JSON."""
    dlt = {f"dlt_{how}": partial(write, how) for how in ("append", "replace", "merge")}
    work = {"load": load, "dlt": extract, "duckdb": copy, "fetch": fetch, **dlt}[who]
    times = TENTH if who == "dlt_merge" else 1
    work(case, "warm")
    began, clock = time.process_time(), time.perf_counter()
    work(case, "tenth" if times > 1 else "flights")
    taken = (time.process_time() - began) * times, (time.perf_counter() - clock) * times
    print(json.dumps([*taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def load(case: str, name: str) -> None:
    """Load a table that the lake does not have."""
    import datetime as dt

    from millpond.ingestion.load import load as load_window
    from millpond.ingestion.spec import SourceSpec
    from millpond.partitions import Window

    kinds: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "sql": ({"sql": {}}, {"sql": {"table": name}}),
        "csv": ({"files": {}}, {"files": {"path": f"{name}.csv", "stable_after": "0s"}}),
        "parquet": ({"files": {}}, {"files": {"path": f"{name}.parquet", "stable_after": "0s"}}),
        "api": (
            {"rest": {"base_url": "{url}"}},
            {
                "endpoint": {
                    "path": name,
                    "data_selector": "items",
                    "paginator": {"type": "json_link", "next_url_path": "next"},
                },
                "window": {"params": {"since": "{start_iso}", "until": "{end_iso}"}},
            },
        ),
    }
    source, table = kinds[case if case in kinds else "sql"]
    columns = {n: {"type": kind, "optional": n == "remark"} for n, (_, kind, _) in COLUMNS.items()}
    spec = SourceSpec.model_validate(
        {
            "source": "shop",
            **source,
            "tables": [
                {
                    "name": f"{name}_{os.environ['BENCH_TURN']}",
                    "key": ["id"],
                    "event_time": {"column": "departs"},
                    "columns": columns,
                    **table,
                }
            ],
        }
    )
    first = dt.date.fromisoformat(START)
    window = Window.of_days(first, first + dt.timedelta(DAYS - 1))
    found = load_window(spec, spec.tables[0], window, ref="main", run_id="bench")
    assert not found.failed, next(iter(found.failed.values()))


def extract(_case: str, name: str) -> None:
    """Have dlt read a table of a database."""
    from dlt.sources.sql_database import sql_table

    rows = sql_table(os.environ["MILLPOND_SHOP_URL"], table=name, backend="pyarrow")
    _pipeline(name).extract(rows, loader_file_format="parquet")


def write(disposition: str, _case: str, name: str) -> None:
    """Have dlt read pages and write their rows to an Iceberg table, in one of its ways."""
    from dlt.sources.rest_api import rest_api_resources

    endpoint = {
        "path": name,
        "data_selector": "items",
        "paginator": {"type": "json_link", "next_url_path": "next"},
    }
    merge = {"primary_key": "id", "write_disposition": {"disposition": "merge", "strategy": "upsert"}}
    how = merge if disposition == "merge" else {"write_disposition": disposition}
    (rows,) = rest_api_resources(
        {
            "client": {"base_url": os.environ["MILLPOND_SHOP_URL"]},
            "resources": [{"name": name, "endpoint": endpoint, **how}],
        }
    )
    _pipeline(name).run(rows, table_format="iceberg", loader_file_format="parquet").raise_on_failed_jobs()


def _pipeline(name: str) -> Any:
    import dlt

    folder = Path(tempfile.mkdtemp(dir=os.environ["MILLPOND_HOME"]))
    destination = dlt.destinations.filesystem(str(folder / "lake"))
    return dlt.pipeline(name, str(folder), destination=destination, dataset_name="bench")


def copy(case: str, name: str) -> None:
    """Have DuckDB read a file and write it as Parquet."""
    import duckdb

    file = f"{os.environ['MILLPOND_SHOP_URL']}/{name}"
    read = duckdb.read_csv if case == "csv" else duckdb.read_parquet
    read(f"{file}.{case}").write_parquet(f"{file}.copy")


def fetch(_case: str, name: str) -> None:
    """Fetch pages and write their rows as Parquet, as a script would."""
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq
    import requests

    file = Path(os.environ["MILLPOND_HOME"]) / f"{name}.fetched.parquet"
    address, writer = f"{os.environ['MILLPOND_SHOP_URL']}/{name}", None
    with requests.Session() as session:
        while address:
            body = orjson.loads(session.get(address).content)
            rows = pa.Table.from_pylist(body["items"], writer.schema if writer else None)
            writer = writer or pq.ParquetWriter(file, rows.schema)
            writer.write_table(rows)
            address = body["next"]
    assert writer
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=336_776)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--quick", action="store_true", help="2,000 rows, once: to see that all of it works")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.way)
        sys.exit()
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    (home / "project" / "sources").mkdir(parents=True)
    (home / "project" / "sources" / "shop.yaml").write_text("source: shop\n")
    os.environ |= {"MILLPOND_HOME": str(home), "MILLPOND_PROJECT": str(home / "project")}
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    from millpond.runtime.databases import databases
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        databases()
        size = (2_000, 1) if asked.quick else (asked.rows, asked.repeat)
        main(*size, asked.cases.split(","), keep=not asked.quick)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
