"""A source for tests: a real HTTP server that speaks a protocol or does whatever a script says."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from millpond.ingestion.load import load
from millpond.ingestion.reading import find_table, load_sources, source_files
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import settings

DAY = dt.date(2026, 11, 1)
MS_A_DAY = 24 * 3600 * 1000


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What to answer; `raw` takes over the connection instead."""

    body: bytes = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[socket.socket], None] | None = None


def rows_as_json(rows: list[Any]) -> Answer:
    return Answer(json.dumps(rows).encode(), headers={"Content-Type": "application/json"})


class FakeSource:
    """Answers with what is in `script`, one answer a request, then with what `serve` makes of the request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.serve: Callable[[Request], Answer] = lambda _: Answer()
        self._lock = threading.Lock()
        self.url = ""

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            if self.script:
                return self.script.popleft()
        return self.serve(request)


class Entries:
    """Nightscout's entries: newest first, ten unless `count` says so, `cap` at most."""

    def __init__(self, rows: list[dict[str, Any]], cap: int = 1000) -> None:
        self.rows, self.cap = rows, cap

    def __call__(self, request: Request) -> Answer:
        low = int(request.query.get("find[date][$gte]", 0))
        high = int(request.query.get("find[date][$lt]", 1 << 60))
        found = [row for row in self.rows if low <= _sortable(row) < high]
        found.sort(key=_sortable, reverse=True)
        return rows_as_json(found[: min(int(request.query.get("count", 10)), self.cap)])


class Events:
    """GitHub's events of a user: pages by Link header, `cap` events at most."""

    def __init__(self, rows: list[dict[str, Any]], base: str, cap: int = 300) -> None:
        self.rows, self.base, self.cap = rows, base, cap

    def __call__(self, request: Request) -> Answer:
        size, page = int(request.query["per_page"]), int(request.query.get("page", 1))
        listed = sorted(self.rows, key=lambda row: row["created_at"], reverse=True)[: self.cap]
        answer = rows_as_json(listed[(page - 1) * size : page * size])
        if page * size < len(listed):
            there = f"{self.base}{request.path}?per_page={size}&page={page + 1}"
            answer.headers["Link"] = f'<{there}>; rel="next"'
        return answer


def _sortable(row: dict[str, Any]) -> float:
    near: float = row.get("_near", row.get("date", 0))
    return near


def reading(number: int, day: dt.date = DAY, **changes: Any) -> dict[str, Any]:
    """Return an entry five minutes after the one before, with `changes`; a value of ... drops the field."""
    moment = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000) + number * 300_000
    row = {
        "_id": f"{day:%Y%m%d}-{number:04}",
        "type": "sgv",
        "sgv": 100 + number % 100,
        "date": moment,
        "dateString": "x",
        "direction": "Flat",
        "device": "test",
    } | changes
    return {name: value for name, value in row.items() if value is not ...}


def event(number: int, created_at: dt.datetime) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "PushEvent",
        "actor": {"id": 1, "login": "octocat"},
        "repo": {"id": 2, "name": "octocat/hello"},
        "payload": {"commits": [{"sha": "a"}, {"sha": "b"}], "size": 1.10},
        "public": True,
        "created_at": f"{created_at:%Y-%m-%dT%H:%M:%SZ}",
    }


@contextmanager
def fake_source() -> Iterator[FakeSource]:
    """Serve a FakeSource on a free loopback port."""
    source = FakeSource()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = source.answer(Request(parts.path, dict(parse_qsl(parts.query)), headers))
            if answer.raw:
                self.close_connection = True
                answer.raw(self.connection)
                return
            self.send_response_only(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            pass  # a client that hangs up is part of the tests

    with Server(("127.0.0.1", 0), Handler) as server:
        source.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield source
        server.shutdown()
        thread.join()


def table_of(name: str, **changes: Any) -> tuple[SourceSpec, SourceTable]:
    """Return a shipped source and its table `name`, the table with `changes`."""
    shipped = tuple((file, file.read_bytes()) for file in source_files(settings().code))
    source, index = find_table(_sources(shipped), name)
    return source, source.tables[index].model_copy(update=changes)


@cache
def _sources(_files: tuple[tuple[Path, bytes], ...]) -> list[SourceSpec]:
    """Return what the files declare, which is parsed once: that takes a quarter of a small load."""
    return load_sources(settings())


def load_days(
    first: dt.date, last: dt.date | None = None, table: str = "glucose_entries", **changes: Any
) -> LoadResult:
    """Load days of a shipped table from whatever source the settings name."""
    source, spec = table_of(table, **changes)
    return load(source, spec, Window.of_days(first, last or first), ref="main", run_id="test")


def raw(*columns: str, table: str = "raw.glucose_entries", key: str = "_id") -> list[Any]:
    """Return the rows of a lake table, or the values of one column, sorted by key."""
    if not read.exists("main", table):
        return []
    found = read.scan("main", table).sort_by(key)
    if len(columns) == 1:
        values: list[Any] = found[columns[0]].to_pylist()
        return values
    rows: list[Any] = found.select(list(columns) or found.column_names).to_pylist()
    return rows


def quarantined(*columns: str) -> list[Any]:
    return raw(*columns, table="quarantine.glucose_entries", key="payload")
