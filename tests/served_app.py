"""Serves an ASGI app from a thread of the test process, which so shares its clock and its settings."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

_LOOPBACK = "127.0.0.1"


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Yield the address of `app` while it is served on a free loopback port."""
    with socket.create_server((_LOOPBACK, 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://{_LOOPBACK}:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)
