"""Whether Dagster's processes do their work, asked from outside: by GraphQL and by the daemon's heartbeat."""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.request
from typing import Any

import psycopg

from millpond.errors import ServerUnreachable
from millpond.runtime.databases import dagster_as_it_is
from millpond.runtime.home import Home
from millpond.runtime.part import STARTING, UNHEALTHY, UP, Health

_ANSWER_SECONDS = 10.0
_HEARTBEAT_SECONDS = 120.0
"""Dagster's daemon tells every 30 seconds that it is alive."""
_LOCATIONS = """{ workspaceOrError {
  ... on PythonError { message }
  ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
  } }
} }"""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment has no business between us and our own servers."""


def webserver(port: int) -> Health:
    """Return whether the web pages answer and have tried to load every code location."""
    entries = _locations(port)
    if any(entry["loadStatus"] != "LOADED" for entry in entries):
        return Health(STARTING, "loads the definitions")
    return Health(UP)


def code_location(port: int, name: str) -> Health:
    """Return whether code location `name` is loaded, as the web pages at `port` see it."""
    entry = next((e for e in _locations(port) if e["name"] == name), None)
    if entry is None or entry["loadStatus"] != "LOADED":
        return Health(STARTING, "loads the definitions")
    outcome = entry["locationOrLoadError"]
    if outcome["__typename"] != "PythonError":
        return Health(UP)
    message = " ".join(outcome["message"].split())
    if "UserCodeUnreachable" in message:
        return Health(UNHEALTHY, "does not answer the web pages")
    return Health(UNHEALTHY, f"the definitions do not load: {message}", mendable=False)


def daemon(home: Home, started: float) -> Health:
    """Return whether the daemon that began at `started` still tells Dagster's storage that it is alive."""
    try:
        connection = dagster_as_it_is(home)
        if connection is None:
            return Health(STARTING, "Postgres, which holds its heartbeat, does not run")
        with connection:
            row = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except (psycopg.OperationalError, ServerUnreachable) as error:
        return Health(STARTING, str(error).strip().splitlines()[0])
    last: dt.datetime | None = row[0] if row else None
    beat = last.replace(tzinfo=dt.UTC).timestamp() if last else 0.0
    if beat < started:
        return Health(STARTING, "no heartbeat yet")
    if beat < time.time() - _HEARTBEAT_SECONDS:
        return Health(UNHEALTHY, f"last heartbeat {time.time() - beat:.0f} s ago")
    return Health(UP)


def _locations(port: int) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": _LOCATIONS}).encode(),
        {"Content-Type": "application/json"},
    )
    with _direct.open(request, timeout=_ANSWER_SECONDS) as answer:
        workspace = json.load(answer)["data"]["workspaceOrError"]
    if "locationEntries" not in workspace:
        raise OSError(workspace.get("message", "no workspace"))
    entries: list[dict[str, Any]] = workspace["locationEntries"]
    return entries
