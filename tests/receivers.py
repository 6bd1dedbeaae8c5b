"""The other ends of channels: real servers on loopback that keep what they took and fail as they are told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str]]
GOOD: Answer = (200, {})
LOST: Answer = (0, {})
"""Take the message, then close the connection without an answer."""


@dataclass
class Web:
    """An HTTP service: keeps what it took, answers what `answers` says first, then what `rule` says."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    rule: Callable[[int], Answer] = lambda _: GOOD
    taken: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    replies: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, method: str, path: str, headers: dict[str, str], body: Any) -> Answer:
        with self.lock:
            self.requests.append((method, path))
            answer = self.answers.pop(0) if self.answers else self.rule(len(self.requests))
            if answer[0] in (0, 200, 201, 202) and method == "POST":
                self.taken.append(body)
                self.headers.append(headers)
            return answer


@contextmanager
def web(service: Web | None = None) -> Iterator[Web]:
    """Serve `service`, which may have been served before, at its port."""
    found = service or Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply(*found.take("POST", self.path, dict(self.headers), body))

        def do_GET(self) -> None:
            self.reply(*found.take("GET", self.path, dict(self.headers), None))

        def reply(self, status: int, headers: dict[str, str]) -> None:
            if not status:
                self.close_connection = True
                return
            known = next((v for k, v in found.replies.items() if self.path.startswith(k)), {})
            answer = json.dumps(known).encode() if status < 300 else f"no {self.path}".encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", found.port), Handler) as server:
        found.port = server.server_address[1]
        yield from _served(server, found)


@dataclass
class Mail:
    """An SMTP server: keeps the mails it took; before each it asks `rule` for the code it answers with."""

    port: int = 0
    rule: Callable[[int], int] = lambda _: 250
    taken: list[EmailMessage] = field(default_factory=list)
    tries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: bytes) -> int:
        with self.lock:
            self.tries += 1
            code = self.rule(self.tries)
            if code in (0, 250):
                self.taken.append(message_from_bytes(body, policy=policy.default))  # type: ignore[arg-type]
            return code


@contextmanager
def mail(service: Mail | None = None) -> Iterator[Mail]:
    """Serve `service`, which may have been served before, at its port."""
    found = service or Mail()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline():
                word = line.split(b" ")[0].strip().upper()
                if word == b"QUIT":
                    self.say("221 bye")
                    return
                if word != b"DATA":
                    self.say("250 fine")
                    continue
                self.say("354 go on")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    if not part:
                        return  # the sender died before the end: no server takes half a mail
                    body += part[1:] if part.startswith(b"..") else part
                if not (code := found.take(body)):
                    return
                self.say(f"{code} {'taken' if code == 250 else 'not now'}")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", found.port), Handler) as server:
        found.port = server.server_address[1]
        yield from _served(server, found)


def _served(server: socketserver.BaseServer, found: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
