"""How long backfills take, from the command to the prompt, beside Dagster's own command day by day.

    python bench/backfill.py [--days 7,30,92,365] [--rows 288,5000] [--dagster-days 3]

Works in a home of its own, which is removed at the end, against a server in this process that serves
`--rows` readings a day. Dagster's command is timed for `--dagster-days` days and its cost given a day.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LAST = dt.date(2026, 10, 31)
SELECTION = "dlt_glucose_entries*"
DAY_MS = 86_400_000
BIN = Path(sys.executable).parent


def serve(rows: int) -> ThreadingHTTPServer:
    """Serve Nightscout's entries, `rows` a day at even distances, the newest first."""
    step = DAY_MS // rows

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: int(values[0]) for name, values in parse_qs(urlsplit(self.path).query).items()}
            low, high = query["find[date][$gte]"], query["find[date][$lt]"]
            newest = (high - 1) // step * step
            oldest = max(low, newest - (query.get("count", 10) - 1) * step)
            body = json.dumps([_row(ms) for ms in range(newest, oldest - 1, -step)]).encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _row(ms: int) -> dict[str, object]:
    value = 80 + ms // 60_000 % 120
    return {"_id": f"{ms:x}", "type": "sgv", "sgv": value, "date": ms, "direction": "Flat", "device": "bench"}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="Time backfills.")
    parser.add_argument("--days", default="7,30,92,365")
    parser.add_argument("--rows", default="288,5000")
    parser.add_argument("--dagster-days", type=int, default=3)
    asked = parser.parse_args()
    print(f"{'rows a day':>10} {'days':>5} {'backfill s':>11} {'CPU s':>7} {'by day s':>9} {'times':>6}")
    for rows in map(int, asked.rows.split(",")):
        for days in map(int, asked.days.split(",")):
            one(rows, days, asked.dagster_days)


def one(rows: int, days: int, sample: int) -> None:
    """Time one size in a fresh home, and print it."""
    home, server = Path(tempfile.mkdtemp(prefix="millpond-bench-")), serve(rows)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "MILLPOND_HOME": str(home), "MILLPOND_NIGHTSCOUT_URL": url}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        timed([str(BIN / "millpond"), "tables"], environment)
        span = ("--start-date", str(LAST - dt.timedelta(days=days - 1)), "--end-date", str(LAST))
        seconds, cpu = timed([str(BIN / "millpond"), "backfill", SELECTION, *span, "--yes"], environment)
        own = {**environment, "DAGSTER_HOME": str(home / "dagster")}
        own["DAGSTER_MODULE_NAME"] = "millpond.definitions"
        each = [
            timed(
                [
                    *(str(BIN / "dagster"), "asset", "materialize", "--select", SELECTION),
                    *("--partition", str(LAST - dt.timedelta(days=number))),
                ],
                own,
            )[0]
            for number in range(min(sample, days))
        ]
        by_day = sum(each) / len(each) * days
        print(f"{rows:>10} {days:>5} {seconds:>11.1f} {cpu:>7.1f} {by_day:>9.0f} {by_day / seconds:>6.1f}")
    finally:
        server.shutdown()
        subprocess.run([str(BIN / "millpond"), "down"], env=environment, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
