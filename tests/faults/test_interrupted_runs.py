"""A run that is told to end ends: no step of it is repeated, none begun."""

import os
import signal
import threading
from collections.abc import Callable

import dagster as dg
import pytest

from fake_source import DAY, Answer, fake_source
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import list_alerts
from millpond.alerts.routing import Routing
from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.runs.run import JOB
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from processes import exit_code, start

ASSETS = ["dlt_market_events", "dlt_climate_entries"]


def run_of_both() -> None:
    from millpond.definitions import defs

    with open_instance() as recorded:
        defs.resolve_job_def(JOB).execute_in_process(
            instance=recorded,
            asset_selection=[dg.AssetKey(name) for name in ASSETS],
            partition_key=str(DAY),
            raise_on_error=False,
        )


@dg.asset
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_of_killed() -> None:
    with open_instance() as recorded:
        dg.materialize([killed], instance=recorded)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_does_not_repeat_its_step(
    home: Home, configure: Callable[..., Settings], number: signal.Signals
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        over.wait()

    with fake_source() as source:
        source.serve = lambda _: Answer(raw=hang)
        configure(greenhouse_url=source.url, market_url=source.url, market_user="corner")
        process = start(run_of_both)
        assert asked.wait(100)
        os.kill(process.pid or 0, number)
        process.join()
        over.set()
        assert len(source.requests) == 1
    with open_instance() as recorded:
        (run,) = recorded.get_runs()
        assert run.status == dg.DagsterRunStatus.CANCELED
        kinds = [
            entry.dagster_event.event_type for entry in recorded.all_logs(run.run_id) if entry.dagster_event
        ]
        assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in kinds
        pools = recorded.event_log_storage.get_concurrency_keys()
        assert sum(recorded.event_log_storage.get_concurrency_info(p).active_slot_count for p in pools) == 0
        assert alerts_of(recorded) == [("run_stopped", "info", False)]
    assert read.list_tables("main") == []


@pytest.mark.timeout(120)
def test_a_run_that_was_killed_is_an_error(home: Home) -> None:
    assert exit_code(run_of_killed) == -signal.SIGKILL
    with open_instance() as recorded:
        fail_dead_runs(recorded)
        assert alerts_of(recorded) == [("run_failed", "error", True)]


def alerts_of(recorded: dg.DagsterInstance) -> list[tuple[str, str, bool]]:
    """Return kind, severity and whether it is open of each alert that is found."""
    find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    return [
        (alert.kind, alert.severity, alert.is_open)
        for alert, _ in list_alerts(everything=True, kind=None, limit=9)
    ]
