"""Health of Dagster's processes, from GraphQL and from the daemon's heartbeat."""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.request
from typing import Any

import psycopg

from millpond.errors import EmbeddedPartError, ServerUnreachable
from millpond.runtime.databases import connect_dagster_if_running
from millpond.runtime.home import Home
from millpond.runtime.part import STARTING, UNHEALTHY, UP, Health

_ANSWER_SECONDS = 10.0
_HEARTBEAT_SECONDS = 120.0
"""Dagster's daemon writes a heartbeat every 30 seconds."""
_LOCATIONS = """{ workspaceOrError {
  ... on PythonError { message }
  ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
  } }
} }"""

_RELOAD = """mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
  ... on PythonError { message }
} }"""
_RELOAD_SECONDS = 180.0
_PASSING = ("EmbeddedPartError", "ServerUnreachable")
"""Errors of definitions after which a restart may help: Postgres was down when they were loaded."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Proxies of the environment are not used for our own servers."""


def check_webserver(port: int) -> Health:
    """Return the health of the web server: whether it tried to load every code location."""
    entries = _read_locations(port)
    if any(entry["loadStatus"] != "LOADED" for entry in entries):
        return Health(STARTING, "loading the definitions")
    return Health(UP)


def check_code_location(port: int, name: str) -> Health:
    """Return the health of code location `name`, as the web server at `port` sees it."""
    entry = next((e for e in _read_locations(port) if e["name"] == name), None)
    if entry is None or entry["loadStatus"] != "LOADED":
        return Health(STARTING, "loading the definitions")
    outcome = entry["locationOrLoadError"]
    if outcome["__typename"] != "PythonError":
        return Health(UP)
    message = " ".join(outcome["message"].split())
    if "UserCodeUnreachable" in message:
        return Health(UNHEALTHY, "does not answer the web server")
    passing = any(name in message for name in _PASSING)
    return Health(UNHEALTHY, f"the definitions do not load: {message}", restartable=passing)


def check_daemon(home: Home, started: float) -> Health:
    """Return the health of the daemon that started at `started`, by its heartbeat in Dagster's storage."""
    try:
        connection = connect_dagster_if_running(home)
        if connection is None:
            return Health(STARTING, "Postgres, which has its heartbeat, is not running")
        with connection:
            row = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except (psycopg.OperationalError, ServerUnreachable) as error:
        said = str(error).strip().splitlines()[0]
        return Health(STARTING, "its database is being made" if said.endswith("does not exist") else said)
    last: dt.datetime | None = row[0] if row else None
    beat = last.replace(tzinfo=dt.UTC).timestamp() if last else 0.0
    if beat < started:
        return Health(STARTING, "no heartbeat yet")
    if beat < time.time() - _HEARTBEAT_SECONDS:
        return Health(UNHEALTHY, f"last heartbeat {time.time() - beat:.0f} s ago")
    return Health(UP)


def reload_location(port: int, name: str) -> None:
    """Have the code server reload code location `name`, as "Reload" in the pages does.

    Raises EmbeddedPartError if it does not load.
    """
    try:
        answer = _query(port, _RELOAD, _RELOAD_SECONDS, name=name)["reloadRepositoryLocation"]
    except OSError as error:
        answer = {"message": str(error)}
    outcome = answer.get("locationOrLoadError") or answer
    if outcome.get("message") or outcome.get("__typename") != "RepositoryLocation":
        raise EmbeddedPartError(
            f"Dagster did not reload the definitions: {outcome.get('message') or outcome}",
            unharmed="the data",
            next_step="`millpond status` shows the state of the code server, and its log",
        )


def _read_locations(port: int) -> list[dict[str, Any]]:
    workspace = _query(port, _LOCATIONS, _ANSWER_SECONDS)["workspaceOrError"]
    if "locationEntries" not in workspace:
        raise OSError(workspace.get("message", "no workspace"))
    entries: list[dict[str, Any]] = workspace["locationEntries"]
    return entries


def _query(port: int, query: str, seconds: float, **variables: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with _direct.open(request, timeout=seconds) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data
