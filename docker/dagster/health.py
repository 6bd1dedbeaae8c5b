"""The health checks of our containers, each `health.py NAME`; exit code 0 says healthy.

They import as little as they can, since they run every few seconds.
"""

import json
import sys
import time
import urllib.request
from pathlib import Path

SILENCE_SECONDS = 120
LOCATIONS = (
    "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
)


def code_server() -> bool:
    """Whether it serves."""
    import grpc

    with grpc.insecure_channel("127.0.0.1:4000") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        return bool(check(b"\n\nDagsterApi", timeout=5) == b"\x08\x01")


def webserver() -> bool:
    """Whether the pages answer and have loaded the definitions."""
    query = json.dumps({"query": LOCATIONS}).encode()
    request = urllib.request.Request(
        "http://127.0.0.1:3000/graphql", query, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
    loaded = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
    return bool(loaded) and all(each == "RepositoryLocation" for each in loaded)


def daemon() -> bool:
    """Whether it told Dagster's storage of late that it is alive."""
    import datetime as dt

    from millpond.runtime.databases import databases

    with databases().dagster.connect() as connection:
        row = connection.execute("select max(timestamp) from daemon_heartbeats").fetchone()
    last = row[0] if row else None
    return (
        bool(last) and (dt.datetime.now(dt.UTC).replace(tzinfo=None) - last).total_seconds() < SILENCE_SECONDS
    )


def alerts() -> bool:
    """Whether its last round was of late and went well."""
    beat = Path("/var/lib/millpond/run/alerts.beat")
    return time.time() - beat.stat().st_mtime < SILENCE_SECONDS and not beat.read_text()


def demo_source() -> bool:
    """Whether it answers."""
    with urllib.request.urlopen("http://127.0.0.1:8400/health", timeout=3) as answer:
        return bool(answer.status == 200)


def dashboard() -> bool:
    """Whether it answers."""
    with urllib.request.urlopen("http://127.0.0.1:8501/_stcore/health", timeout=5) as answer:
        return bool(answer.status == 200)


CHECKS = {
    "code-server": code_server,
    "webserver": webserver,
    "daemon": daemon,
    "alerts": alerts,
    "dashboard": dashboard,
    "demo-source": demo_source,
}

if __name__ == "__main__":
    sys.exit(not CHECKS[sys.argv[1]]())
