"""Loopback ports: which is free, and which one a home keeps."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from pathlib import Path

from millpond.errors import EmbeddedPartError

_FIRST, _COUNT = 20_000, 10_000
"""Below the ports that systems hand out for outgoing connections, so that a kept port stays free."""
_log = logging.getLogger(__name__)


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def chosen_port(memory: Path, wanted: int, home: Path) -> int:
    """Return the port to listen on: `wanted`, or for 0 the one in file `memory`, or a free one.

    Raises EmbeddedPartError if `wanted` is taken.
    """
    if wanted:
        if not is_free(wanted):
            raise EmbeddedPartError(
                f"port {wanted}, asked for by MILLPOND_POSTGRES_PORT, is taken by another program",
                next_step="end that program, or set MILLPOND_POSTGRES_PORT to another port (0: any free one)",
            )
        return wanted
    text = memory.read_text().strip() if memory.exists() else ""
    kept = int(text) if text.isdecimal() else 0
    if kept and is_free(kept):
        return kept
    port = _free_port(home)
    if kept:
        _log.warning(
            "port %d of the embedded Postgres is taken by another program; it moves to %d", kept, port
        )
    return port


def _free_port(home: Path) -> int:
    begin = int.from_bytes(hashlib.sha256(os.fsencode(home)).digest()[:4])
    for step in range(_COUNT):
        port = _FIRST + (begin + step) % _COUNT
        if is_free(port):
            return port
    raise EmbeddedPartError("no loopback port is free", next_step="set MILLPOND_POSTGRES_PORT")
