"""Loopback ports: which are free, which process uses one, and which port a part of a home keeps."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from pathlib import Path

import psutil

from millpond.errors import EmbeddedPartError, PortTaken
from millpond.redaction import excerpt

_FIRST, _COUNT = 20_000, 10_000
"""Below the ephemeral ports of outgoing connections, so that a kept port stays free."""
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


def choose_port(
    memory: Path,
    wanted: int,
    home: Path,
    *,
    part: str = "embedded Postgres",
    setting: str = "MILLPOND_POSTGRES_PORT",
) -> int:
    """Return the port for `part` to listen on: `wanted`, or for 0 the one in file `memory`, or a free one.

    Raises PortTaken, naming the process, if `wanted` is in use.
    """
    if wanted:
        refuse_taken(wanted, setting)
        return wanted
    text = memory.read_text().strip() if memory.exists() else ""
    kept = int(text) if text.isdecimal() else 0
    if kept and is_free(kept):
        return kept
    port = _find_free_port(home, part, setting)
    if kept:
        _log.warning("port %d of %s is in use by another program; using %d", kept, part, port)
    return port


def refuse_taken(port: int, setting: str) -> None:
    """Raise PortTaken, naming the process and the setting, if `port` is in use."""
    if not is_free(port):
        raise PortTaken(
            f"port {port} of {setting} is in use by {find_listener(port) or 'another program'}",
            next_step=f"end that program, or set {setting} to another port (0: any free one)",
        )


def find_listener(port: int) -> str | None:
    """Return the process that listens on `port`, with its command; None if it is not visible."""
    try:
        found = [
            c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port
        ]
        process = psutil.Process(next(pid for pid in found if pid))
        return f"process {process.pid} ({excerpt(' '.join(process.cmdline()) or process.name(), 120)})"
    except (StopIteration, psutil.Error):
        return None


def _find_free_port(home: Path, part: str, setting: str) -> int:
    # Each part starts at a different port, so that two that search at once find different ones.
    begin = int.from_bytes(hashlib.sha256(os.fsencode(home / part)).digest()[:4])
    for step in range(_COUNT):
        port = _FIRST + (begin + step) % _COUNT
        if is_free(port):
            return port
    raise EmbeddedPartError("no loopback port is free", next_step=f"set {setting}")
