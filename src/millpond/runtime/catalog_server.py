"""The shared REST catalog: one per home, at an address and with tokens that stay the same."""

from __future__ import annotations

import http.client
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from millpond.runtime.home import Home, layout
from millpond.runtime.processes import Process, ensure_process, find_process, stop
from millpond.settings import Settings

PROCESS = "catalog"
_MODULE = "millpond.lake.rest_app"
"""Not imported, as the lake depends on the runtime, not the other way round."""
_USES = _READ, _WRITE = "catalog.token", "catalog-write.token"
"""Files of the tokens: one that only reads, and one that also writes."""


@dataclass(frozen=True)
class CatalogServer:
    """Where other programs find the Iceberg REST catalog, and the bearer tokens it accepts."""

    uri: str
    read_token: SecretStr
    write_token: SecretStr


def ensure_catalog_server(settings: Settings) -> CatalogServer:
    """Return the shared REST catalog; starts it in the background if it does not run.

    It listens on MILLPOND_CATALOG_PORT or, if that is taken, on another port.
    Raises EmbeddedPartError if it does not start.
    """
    process, home = ensure_catalog_process(settings), layout(settings)
    return CatalogServer(
        f"http://127.0.0.1:{process.port}", *(SecretStr(_token_file(home, use).read_text()) for use in _USES)
    )


def ensure_catalog_process(settings: Settings) -> Process:
    """Return the process of the shared REST catalog; starts it if it does not run.

    If a token's file is gone, the process is restarted with a new token.
    """
    home = layout(settings)
    drawn = [_create_token(_token_file(home, use)) for use in _USES]
    if any(drawn) and (running := find_process(home, PROCESS)):
        stop(home, running)
    return ensure_process(
        settings,
        PROCESS,
        _MODULE,
        "--token-file",
        str(_token_file(home, _READ)),
        "--write-token-file",
        str(_token_file(home, _WRITE)),
        ready=answers,
        port=settings.catalog_port,
    )


def answers(port: int) -> bool:
    """Return whether a catalog answers on `port`: without a token, it responds 401."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/config")
        return connection.getresponse().status == http.client.UNAUTHORIZED
    finally:
        connection.close()


def _token_file(home: Home, use: str) -> Path:
    return home.run / use


def _create_token(path: Path) -> bool:
    """Write a new token to `path` if there is none, and return whether; safe for concurrent calls."""
    if path.exists():
        return False
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
    with suppress(FileExistsError):
        os.link(unfinished, path)
    unfinished.unlink()
    return True
