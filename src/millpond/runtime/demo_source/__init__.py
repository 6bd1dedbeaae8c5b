"""The demo source, for sources without a URL in a demo home: real recordings over the real protocols.

Start reading in `app`, then `replay`; `files` has the sources that are no servers.
"""

from __future__ import annotations

import http.client

from millpond.runtime.home import layout, locate
from millpond.runtime.processes import ensure_process
from millpond.settings import Settings

DEMO_USER = "millpond-demo"
"""The only account of the demo source."""

PROCESS = "demo-source"
_MARK = "demo"
"""File that marks a demo home."""


def is_demo_home(settings: Settings) -> bool:
    """Return whether this is a demo home, made by `millpond demo`; only there the demo source is used."""
    return (locate(settings).root / _MARK).exists()


def mark_demo_home(settings: Settings) -> None:
    """Make this a demo home, where sources without a URL are demo data."""
    (layout(settings).root / _MARK).write_text(
        "Made by `millpond demo`: sources without a URL are demo data.\n"
    )


def serves_demo(settings: Settings, source: str) -> bool:
    """Return whether data of `source` is demo data: it has no URL, or that of a demo source."""
    url = settings.source(source).url
    return url is None or url == (settings.demo_url or "").rstrip("/")


def ensure_demo_source(settings: Settings) -> str:
    """Return the base URL of the demo source, `http://127.0.0.1:<port>`; starts it if it does not run."""
    process = ensure_process(settings, PROCESS, "millpond.runtime.demo_source", ready=answers)
    return f"http://127.0.0.1:{process.port}"


def answers(port: int) -> bool:
    """Return whether the demo source answers on `port`; may raise OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()
