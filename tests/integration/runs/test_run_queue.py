"""A change of Dagster's queue of runs reaches the daemon at once, through the storage of a home."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget

from millpond.instance.daemon import AnnouncedQueueDaemon
from millpond.instance.home import open_instance, repository_origin
from millpond.instance.queue import Announcements
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import settings

BRIEF, LONG = 0.05, 30.0


@dg.op
def nothing() -> None: ...


@dg.job
def chore() -> None:
    nothing()


defs = dg.Definitions(jobs=[chore])


@pytest.fixture
def recorded(home: Home) -> Iterator[dg.DagsterInstance]:
    with open_instance() as instance:
        yield instance


@contextmanager
def listening() -> Iterator[Announcements]:
    announcements = Announcements()
    assert announcements.wait(BRIEF), "what was announced before a daemon listens is not looked for"
    try:
        yield announcements
    finally:
        announcements.close()


def test_a_run_that_enters_the_queue_or_ends_is_announced(recorded: dg.DagsterInstance) -> None:
    origin = RemoteJobOrigin(repository_origin(settings()), chore.name)
    code = dg.reconstructable(chore).get_python_origin()
    run = recorded.create_run_for_job(chore, remote_job_origin=origin, job_code_origin=code)
    with listening() as announcements:
        assert not announcements.wait(BRIEF)
        recorded.report_dagster_event(DagsterEvent.job_enqueue(run), run.run_id)
        assert announcements.wait(LONG)
        recorded.report_engine_event("a run that works changes nothing", run)
        assert not announcements.wait(BRIEF)
        recorded.report_run_failed(run)
        assert announcements.wait(LONG)


def test_a_daemon_whose_connection_was_ended_listens_again(recorded: dg.DagsterInstance) -> None:
    with listening() as announcements, databases().dagster.connect_as_it_is() as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %%'"
            " AND datname = current_database()"
        )
        assert not announcements.wait(BRIEF)
        assert announcements.wait(LONG), "changes meanwhile are not looked for"
        recorded.report_run_failed(recorded.create_run_for_job(chore))
        assert announcements.wait(LONG)


def test_the_daemon_looks_at_the_queue_before_its_interval_is_over(recorded: dg.DagsterInstance) -> None:
    target = LoadableTargetOrigin(python_file=str(Path(__file__)), attribute="defs")
    origin = InProcessCodeLocationOrigin(target, location_name="here")
    load = InProcessWorkspaceLoadTarget(origin)
    with WorkspaceProcessContext(recorded, load) as workspace, AnnouncedQueueDaemon(LONG) as daemon:
        deque(daemon.run_iteration(workspace), maxlen=0)
        recorded.report_run_failed(recorded.create_run_for_job(chore))
        began = time.monotonic()
        deque(daemon.run_iteration(workspace), maxlen=0)
    assert time.monotonic() - began < LONG
