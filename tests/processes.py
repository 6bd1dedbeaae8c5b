"""Processes for tests, forked off one that has imported, once, what takes longer than their work."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from multiprocessing.context import ForkServerProcess
from multiprocessing.process import BaseProcess
from typing import Any

from millpond import crash_points
from millpond.settings import process_environment, settings

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [  # Python has one such server in a process, so one list for all tests
        "antlr4",
        "dagster._daemon",
        "dagster_dbt",
        "dagster_postgres",
        "dbt.adapters.duckdb",
        "dbt.task.build",
        "dlt",
        "millpond.alerts.__main__",
        "millpond.automation.schedules",
        "millpond.cli.backfill_run",
        "millpond.ingestion.assets",
        "millpond.publish.assets",
        "millpond.quality.freshness",
        "millpond.transform.plugin",
        "millpond.transform.runner",
        "psycopg2.extras",
        "pyiceberg_core.transform",
        "pytest",
        "upath",
    ]
)


def start(work: Callable[..., object], *arguments: object, crash_at: Iterable[str] = ()) -> ForkServerProcess:
    """Start a process that does `work` with this test's settings, to be killed at one of the crash points."""
    process = FORKED.Process(target=_do, args=(process_environment(), tuple(crash_at), work, arguments))
    process.start()
    return process


def exit_code(work: Callable[..., object], *arguments: object, crash_at: Iterable[str] = ()) -> int | None:
    """Return how a process that does `work` ended: -9 if it was killed at a crash point."""
    return exit_codes([start(work, *arguments, crash_at=crash_at)])[0]


def exit_codes(processes: Iterable[BaseProcess], seconds: float = 90) -> list[int | None]:
    """Wait for processes and return how they ended."""
    codes = []
    for process in list(processes):
        process.join(seconds)
        codes.append(process.exitcode)
        process.close()
    return codes


def barrier(parties: int) -> Any:
    """Return a barrier that processes started here can share."""
    return FORKED.Barrier(parties, timeout=60)


def _do(
    environment: dict[str, str],
    crash_at: tuple[str, ...],
    work: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    for point in crash_at:
        crash_points.arm(point)
    work(*arguments)
