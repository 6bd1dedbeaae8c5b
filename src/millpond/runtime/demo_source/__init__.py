"""Stands in for sources without a URL: real recordings, repeated over the real protocols."""

from __future__ import annotations

import http.client

from millpond.runtime.processes import ensure_process
from millpond.settings import Settings

DEMO_USER = "millpond-demo"
"""The only account that the demo source knows."""

PROCESS = "demo-source"


def ensure_demo_source(settings: Settings) -> str:
    """Return the base URL of the demo source, `http://127.0.0.1:<port>`; starts it unless it runs."""
    process = ensure_process(settings, PROCESS, "millpond.runtime.demo_source", ready=answers)
    return f"http://127.0.0.1:{process.port}"


def answers(port: int) -> bool:
    """Return whether the demo source answers there; an OSError means no."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()
