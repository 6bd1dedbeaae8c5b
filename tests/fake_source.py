"""A source for tests: a real HTTP server that speaks a protocol or does whatever a script says."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

DAY = dt.date(2026, 11, 1)
MS_A_DAY = 24 * 3600 * 1000
_READING_MS, _EVENT_SECONDS = 300_000, 6 * 3600


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    pairs: tuple[tuple[str, str], ...] = ()
    """The parameters in their order, repeated ones too."""
    method: str = "GET"
    body: bytes = b""


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
    """The greenhouse's entries: newest first, ten unless `count` says so, `cap` at most."""

    FROM, BEFORE = "from", "before"

    def __init__(self, rows: list[dict[str, Any]], cap: int = 1000) -> None:
        self.rows, self.cap = rows, cap

    def __call__(self, request: Request) -> Answer:
        low = int(request.query.get(self.FROM, 0))
        high = int(request.query.get(self.BEFORE, 1 << 60))
        found = [row for row in self.rows if low <= _sortable(row) < high]
        found.sort(key=_sortable, reverse=True)
        return rows_as_json(found[: min(int(request.query.get("count", 10)), self.cap)])


class Events:
    """The market's events of a shop: pages by Link header, `cap` events at most."""

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
    moment = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000) + number * _READING_MS
    row = {
        "_id": f"{day:%Y%m%d}-{number:04}",
        "type": "lux",
        "lux": 100 + number % 100,
        "date": moment,
        "dateString": "x",
        "direction": "Flat",
        "device": "test",
    } | changes
    return {name: value for name, value in row.items() if value is not ...}


GOOD = [reading(n) for n in range(100, 120)]
"""Entries that break no rule."""


def event(number: int, created_at: dt.datetime) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "Sale",
        "product": {"id": 2, "name": "tomatoes"},
        "payload": {"lines": [{"piece": "a"}, {"piece": "b"}], "size": 1.10},
        "public": True,
        "created_at": f"{created_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def every_day(request: Request) -> Answer:
    """Answer as both sources, up to now: 288 readings a day, and an event every six hours for 40 days."""
    now = time.time()
    if request.path.endswith("/events"):
        newest = int(now // _EVENT_SECONDS)
        made = [event(n, _utc(n * _EVENT_SECONDS)) for n in range(newest - 160, newest + 1)]
        return Events(made, f"http://{request.headers['host']}")(request)
    low, high = int(request.query.get("from", 0)), int(request.query.get("before", 1 << 60))
    first, end = -(-low // _READING_MS), -(-min(high, int(now * 1000) + 1) // _READING_MS)
    most = min(int(request.query.get("count", 10)), 1000)
    slots = range(end - 1, max(first, end - most) - 1, -1)
    return rows_as_json([reading(n % 288, _utc(n * _READING_MS // 1000).date()) for n in slots])


def _utc(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


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
            pairs = tuple(parse_qsl(parts.query))
            body = self.rfile.read(int(headers.get("content-length", 0)))
            answer = source.answer(Request(parts.path, dict(pairs), headers, pairs, self.command, body))
            if answer.raw:
                self.close_connection = True
                answer.raw(self.connection)
                return
            self.send_response_only(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_PUT = do_GET  # noqa: N815

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
