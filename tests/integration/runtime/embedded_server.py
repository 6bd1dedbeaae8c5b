"""The embedded Postgres of a home, and Python processes that use it."""

from __future__ import annotations

import subprocess
import sys

from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.postmaster import Server, find_server

SHOW_SERVER = """
from millpond.runtime.databases import databases
with databases().ops.connect() as connection:
    print(*connection.execute("SELECT pg_postmaster_start_time()::text").fetchone())
"""
"""A program that prints when the server of its home started."""


def server_of(home: Home) -> Server:
    """Return the server of a home, which runs."""
    server = find_server(home)
    assert server is not None
    return server


def answers() -> bool:
    """Return whether the server of the home in use answers; it is started if it does not run."""
    with databases().ops.connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def run_python(code: str, **options: object) -> subprocess.Popen[str]:
    """Start a process that runs `code`, in which a warning is an error."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], **{**pipes, **options})  # type: ignore[call-overload, no-any-return]


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Return what processes of `run_python` printed; none printed an error."""
    results = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in results] == [""] * len(results)
    return [output.strip() for output, _ in results]
