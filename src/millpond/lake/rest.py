"""The Iceberg REST catalog as a thread of this process: what DuckDB and other Iceberg clients talk to."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from functools import lru_cache

import uvicorn
from pydantic import SecretStr

from millpond.errors import EmbeddedPartError
from millpond.lake.rest_app import build_app
from millpond.redaction import register

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Endpoint:
    """Where a REST catalog listens, and the bearer token it asks for."""

    uri: str
    token: SecretStr


def serve() -> Endpoint:
    """Return the REST catalog of this process, started on a free loopback port when first asked for.

    It ends with the process. Raises EmbeddedPartError if it does not come up.
    """
    return _serve(os.getpid())


@lru_cache(1)
def _serve(pid: int) -> Endpoint:
    token = SecretStr(secrets.token_urlsafe(32))
    register(token.get_secret_value())
    listener = socket.create_server((_LOOPBACK, 0))
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(token), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="rest-catalog", daemon=True)
    thread.start()
    atexit.register(_stop, pid, server, thread, listener)
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise EmbeddedPartError(
                "the REST catalog did not start", next_step="try again; if it persists, report it"
            )
        time.sleep(0.005)
    return Endpoint(f"http://{_LOOPBACK}:{listener.getsockname()[1]}", token)


def _stop(pid: int, server: uvicorn.Server, thread: threading.Thread, listener: socket.socket) -> None:
    if pid == os.getpid():
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        listener.close()
