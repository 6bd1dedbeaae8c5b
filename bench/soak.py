"""What grows when Millpond runs for weeks: hourly loads, builds, publishes, alerts, nights, on a fast clock.

    python bench/soak.py [--cycles 500] [--hours 1] [--minutes 40] [--selection ASSETS]
                         [--out FILE] [--plot FILE] [--quick]

Each cycle is an hour (--hours) of a clock that this process alone sees: the source has that much more rows,
a part of the glucose chain loads its day again, builds and publishes, and the sensor looks for alerts. Once a
day the nightly job runs. Ages of retention are shorter than the defaults, so that they are reached within the
soak; those of the environment go before. Files get the time of that clock. Writes the figures of every cycle
to bench/results/soak.json and draws docs/benchmarks/soak.svg. Works in a home of its own, which is removed at
the end.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import time_machine
from pairs import own_home

ROOT = Path(__file__).parents[1]
BEGIN = dt.datetime(2026, 9, 1, 0, 40, tzinfo=dt.UTC)
NIGHT = 3
SELECTION = (
    "dlt_glucose_entries,stg_glucose_entries,fct_glucose_readings,fct_daily_glucose_metrics,"
    "mrt_glucose_overview,marts/mrt_glucose_overview"
)
SETTINGS = {
    "START_DATE": "2026-08-25",
    "SNAPSHOT_RETENTION_DAYS": "2",
    "SNAPSHOT_DAILY_RETENTION_DAYS": "4",
    "EVENT_RETENTION_DAYS": "2",
    "ORPHAN_RETENTION_DAYS": "1",
    "BRANCH_RETENTION_DAYS": "1",
    "DASHBOARD": "false",
}
HOLDS_AFTER = 8
"""After so many days each age of `SETTINGS` has been reached, and the largest day has been seen."""
STEP_MS = 300_000
delivered: set[str] = set()
"""The keys of the alerts that the receiver of the soak got."""
FIGURES: tuple[tuple[str, str], ...] = (
    ("seconds", "seconds of a cycle"),
    ("memory_mb", "memory of the run process, MB"),
    ("postgres_mb", "memory of Postgres, MB"),
    ("descriptors", "open files of the run process"),
    ("connections", "connections to Postgres"),
    ("files", "files in the warehouse"),
    ("warehouse_mb", "warehouse, MB"),
    ("metadata_kb", "largest metadata.json, KB"),
    ("events", "events in Dagster's log"),
    ("dagster_mb", "Dagster's storage, MB"),
    ("other_files", "files in the rest of the home"),
)
"""What is measured after each cycle, and how the plot calls it."""
GROWS_WITH_DATA = ("files", "warehouse_mb", "events", "dagster_mb")
"""They have a part that is meant to grow: rows, and what Dagster knows of each materialization."""
Cycle = dict[str, Any]


def soak(cycles: int, selection: str, minutes: float = 1e9, hours: int = 1) -> list[Cycle]:
    """Run the cycles in the home of the settings, at most for so long, and return the figures of each."""
    from millpond.definitions import defs
    from millpond.instance import dead_runs
    from millpond.instance.home import open_instance
    from millpond.runtime.databases import databases
    from millpond.settings import settings

    databases()
    dead_runs.start_time = lambda _: (
        BEGIN.timestamp()
    )  # by the machine's clock it began after all of its runs
    found: list[Cycle] = []
    stamped, ends = time.time(), time.monotonic() + minutes * 60
    with open_instance() as instance, _dispatcher():
        for number in range(cycles):
            moment = BEGIN + dt.timedelta(hours=number * hours)
            began = time.perf_counter()
            with time_machine.travel(moment, tick=True):
                did = _live_a_cycle(defs, instance, selection, moment, hours)
            seconds = time.perf_counter() - began
            stamped = date_files(settings().home, stamped, moment)
            found.append({"cycle": number, "at": f"{moment:%Y-%m-%dT%H:%M}", "seconds": round(seconds, 2)})
            found[-1] |= {**did, **measure(settings().home)}
            if number % 20 == 0:
                print(json.dumps(found[-1]), flush=True)
            if time.monotonic() > ends:
                break
    return found


@contextmanager
def _dispatcher() -> Iterator[None]:
    """Deliver alerts in the block, as `millpond up` does."""
    from millpond.alerts.dispatcher import Dispatcher
    from millpond.settings import settings

    dispatcher = Dispatcher(settings())
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        yield
    finally:
        dispatcher.stop()
        thread.join()


def _live_a_cycle(
    defs: Any, instance: Any, selection: str, moment: dt.datetime, hours: int
) -> dict[str, Any]:
    import dagster as dg

    from millpond.partitions import Window
    from millpond.runs.run import SILENT, materialize

    outcome = materialize(selection, Window.of_day(moment.date()), definitions=defs, instance=instance)
    sensor = defs.get_repository_def().get_sensor_def("alerts")
    sensor.evaluate_tick(dg.build_sensor_context(instance, repository_def=defs.get_repository_def()))
    did: dict[str, Any] = {"succeeded": outcome.success, "alerts": len(delivered)}
    if NIGHT <= moment.hour < NIGHT + hours:
        began = time.perf_counter()
        night = defs.resolve_job_def("housekeeping").execute_in_process(
            instance=instance, raise_on_error=False, run_config=SILENT
        )
        did |= {"night": night.success, "night_seconds": round(time.perf_counter() - began, 2)}
    return did


def measure(home: Path) -> dict[str, float]:
    """Return the figures of now."""
    import psutil

    from millpond.runtime.databases import databases
    from millpond.runtime.home import layout
    from millpond.settings import settings

    own = psutil.Process()
    warehouse = layout(settings()).warehouse
    postgres = layout(settings()).postgres
    stored = [path for path in warehouse.rglob("*") if path.is_file()]
    metadata = [path.stat().st_size for path in stored if path.name.endswith(".metadata.json")]
    rest = sum(
        len(files) for folder, _, files in os.walk(home) if not _is_within(folder, warehouse, postgres)
    )
    servers = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres" and _serves(p, home)]
    with databases().dagster.connect() as conn:
        (connections, size, events, runs) = conn.execute(
            "select (select count(*) from pg_stat_activity where datname is not null),"
            " pg_database_size(current_database()), (select count(*) from event_logs),"
            " (select count(*) from runs)"
        ).fetchone()
    return {
        "memory_mb": round(own.memory_info().rss / 1e6, 1),
        "postgres_mb": round(sum(_private(p) for p in servers) / 1e6, 1),
        "descriptors": own.num_fds(),
        "connections": connections - 1,
        "files": len(stored),
        "warehouse_mb": round(sum(path.stat().st_size for path in stored) / 1e6, 2),
        "metadata_kb": round(max(metadata, default=0) / 1024, 1),
        "events": events,
        "runs": runs,
        "dagster_mb": round(size / 1e6, 1),
        "other_files": rest,
    }


def _is_within(folder: str, *outer: Path) -> bool:
    return any(Path(folder).is_relative_to(each) for each in outer)


def _serves(process: Any, home: Path) -> bool:
    """Return whether a process is of this home's Postgres: it, or its parent, names the folder."""
    import psutil

    try:
        return any(str(home) in part for p in (process, process.parent()) if p for part in p.cmdline())
    except psutil.Error:
        return False


def _private(process: Any) -> int:
    """Return the memory that is a process' own: shared buffers would count once for each."""
    import psutil

    try:
        found = process.memory_info()
    except psutil.Error:
        return 0
    return max(0, found.rss - found.shared)


def date_files(home: Path, since: float, moment: dt.datetime) -> float:
    """Give what was written since, by the machine's clock, the time of the soak's; returns that of now."""
    now, at = time.time(), moment.timestamp()
    for part in ("warehouse", "dagster", "staging", "logs"):
        for path in (home / part).rglob("*") if (home / part).is_dir() else ():
            try:
                if path.stat().st_mtime > since - 2:
                    os.utime(path, (at, at))
            except FileNotFoundError:
                continue
    return now


@contextmanager
def source() -> Iterator[str]:
    """Serve Nightscout's entries up to now by the soak's clock, one in 72 breaks the rules; take alerts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = {name: int(values[0]) for name, values in parse_qs(urlsplit(self.path).query).items()}
            high = min(asked["find[date][$lt]"], int(time.time() * 1000))
            newest = (high - 1) // STEP_MS * STEP_MS
            oldest = max(asked["find[date][$gte]"], newest - (asked.get("count", 10) - 1) * STEP_MS)
            body = json.dumps([_entry(ms) for ms in range(newest, oldest - 1, -STEP_MS)]).encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            delivered.add(self.headers["Idempotency-Key"])
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def _entry(ms: int) -> dict[str, Any]:
    step = ms // STEP_MS
    value = 5000 if step % 72 == 0 else 80 + step % 120
    return {"_id": f"{ms:x}", "type": "sgv", "sgv": value, "date": ms, "direction": "Flat", "device": "soak"}


def find_growth(found: Sequence[Cycle], hours: int = 1) -> dict[str, dict[str, float]]:
    """Return of each figure its median of the first and the last quarter of what follows `HOLDS_AFTER`, and
    by how much of it a day changes it."""
    held = [each for each in found if each["cycle"] >= min(HOLDS_AFTER * 24 // hours, len(found) // 2)]
    quarter = max(1, len(held) // 4)
    days = max(1, len(held) - quarter) * hours / 24
    grown = {}
    for name, _ in FIGURES:
        first = statistics.median(each[name] for each in held[:quarter])
        last = statistics.median(each[name] for each in held[-quarter:])
        grown[name] = {
            "first": first,
            "last": last,
            "share_a_day": round((last / first - 1) / days, 4) if first else 0.0,
        }
    return grown


def draw(found: Sequence[Cycle], file: Path, hours: int = 1) -> None:
    """Draw a line for each figure over the cycles."""
    width, height, left, gap = 760, 84, 16, 40
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"'
        f' height="{len(FIGURES) * (height + gap) + 40}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="22" font-size="15" font-weight="bold">{len(found)} cycles of {hours} h; at the'
        " line every age of retention has been reached</text>",
    ]
    across = (width - 2 * left) / max(1, len(found) - 1)
    for row, (name, title) in enumerate(FIGURES):
        top = 60 + row * (height + gap)
        values = [float(each[name]) for each in found]
        most = sorted(values)[int(len(values) * 0.995)] or 1.0
        points = " ".join(
            f"{left + n * across:.1f},{top + height - min(1.0, value / most) * height:.1f}"
            for n, value in enumerate(values)
        )
        mark = left + min(HOLDS_AFTER * 24 // hours, len(found) - 1) * across
        out += [
            f'<text x="{left}" y="{top - 8}">{title}: first {values[0]:,.6g}, last {values[-1]:,.6g},'
            f" most {most:,.6g}</text>",
            f'<line x1="{left}" y1="{top + height}" x2="{width - left}" y2="{top + height}" stroke="#999"/>',
            f'<line x1="{mark:.1f}" y1="{top}" x2="{mark:.1f}" y2="{top + height}" stroke="#c1554d"/>',
            f'<polyline points="{points}" fill="none" stroke="#2a7f62"/>',
        ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*out, "</svg>"]) + "\n")


@contextmanager
def soaked_home() -> Iterator[Path]:
    """Set up a home of the soak's own, with its source; ages of the environment go before its own."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(f"MILLPOND_{name}", value)
    with source() as url, own_home(NIGHTSCOUT_URL=url, WEBHOOK_URL=url, PROJECT=str(ROOT)) as home:
        yield home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--hours", type=int, default=1, help="from one cycle to the next, 1 to 12")
    parser.add_argument("--minutes", type=float, default=1e9, help="end then, with fewer cycles")
    parser.add_argument("--quick", action="store_true", help="30 cycles, and nothing is written")
    parser.add_argument("--selection", default=SELECTION)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "soak.json")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "benchmarks" / "soak.svg")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with soaked_home():
        found = soak(30 if asked.quick else asked.cycles, asked.selection, asked.minutes, asked.hours)
    grown = find_growth(found, asked.hours)
    print(f"{'':<14} {'first':>10} {'last':>10} {'% a day':>8}")
    for name, each in grown.items():
        print(f"{name:<14} {each['first']:>10,.1f} {each['last']:>10,.1f} {each['share_a_day'] * 100:>8.2f}")
    failed = [each["cycle"] for each in found if not each["succeeded"] or each.get("night") is False]
    print(f"failed cycles: {failed or 'none'}; alerts delivered: {len(delivered)}")
    if not asked.quick:
        used = {name: os.environ[f"MILLPOND_{name}"] for name in SETTINGS}
        written = {"growth": grown, "settings": used, "alerts": len(delivered), "cycles": found}
        asked.out.write_text(json.dumps(written, indent=1) + "\n")
        draw(found, asked.plot, asked.hours)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
