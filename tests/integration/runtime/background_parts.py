"""`millpond up` and its parts, started and looked at as a person does: by commands."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from millpond.runtime.children import find_supervised
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import list_processes
from millpond.settings import process_environment

FREE_PORTS = {"MILLPOND_DAGSTER_PORT": "0", "MILLPOND_CATALOG_PORT": "0"}
READY_SECONDS = 240.0


def millpond(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `millpond` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *arguments],
        env=process_environment(**{**FREE_PORTS, **environment}),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS + 30,
        check=False,
    )


def status() -> dict[str, Any]:
    """Return what `millpond status` says."""
    answer = millpond("status", "--json")
    shown: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode == 0) == shown["up"]
    return shown


def running_parts(home: Home) -> list[object]:
    """Return all that runs for a home, the processes of commands that only started it aside."""
    return [
        *find_supervised(home),
        *(p for p in list_processes(home) if p.name != "up"),
        *filter(None, [find_server(home)]),
    ]
