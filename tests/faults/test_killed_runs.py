"""Runs that are killed: what they leave in Dagster is cleared by the next one."""

import datetime as dt
import os
import signal
import socket
import time
from contextlib import suppress
from typing import Any

import dagster as dg
import pytest

from millpond.cli.doctor_checks import examine_runs
from millpond.instance import run_processes
from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.home import open_instance
from millpond.instance.run_processes import HOST_TAG
from millpond.partitions import Window
from millpond.runs.run import JOB, materialize
from millpond.runtime.home import Home
from processes import FORKED, exit_code, exit_codes, start

DAY = Window.of_day(dt.date(2026, 10, 1))


def definitions(*, killed: bool = False) -> dg.Definitions:
    @dg.asset(pool="narrow", partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
    def pooled() -> None:
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)

    return dg.Definitions(assets=[pooled], jobs=[dg.define_asset_job(JOB)])


def be_killed() -> None:
    materialize("*", DAY, definitions=definitions(killed=True))


def kill_a_run() -> None:
    assert exit_code(be_killed) == -signal.SIGKILL


@pytest.mark.timeout(60)
def test_a_run_is_judged_by_the_host_it_started_on_alone(home: Home) -> None:
    kill_a_run()
    with open_instance() as recorded:
        (killed,) = recorded.get_runs()
        recorded.add_run_tags(killed.run_id, {HOST_TAG: "another-container"})
        assert fail_dead_runs(recorded) == []
        recorded.add_run_tags(killed.run_id, {HOST_TAG: socket.gethostname()})
        assert fail_dead_runs(recorded) == [killed.run_id]


@pytest.mark.timeout(60)
def test_a_killed_run_is_marked_failed_and_gives_its_pool_slot_back(home: Home) -> None:
    kill_a_run()
    with open_instance() as recorded:
        (killed,) = recorded.get_runs()
        assert killed.status == dg.DagsterRunStatus.STARTED
        assert recorded.event_log_storage.get_concurrency_info("narrow").active_slot_count == 1
        assert materialize("*", DAY, definitions=definitions(), instance=recorded).success
        found = recorded.get_run_by_id(killed.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.timeout(60)
def test_doctor_finds_a_killed_run_and_its_fix_closes_it(home: Home) -> None:
    kill_a_run()
    (found,) = examine_runs()
    assert "its process" in found.what
    assert found.fix
    found.fix()
    assert [*examine_runs()] == []
    with open_instance() as recorded:
        assert [run.status for run in recorded.get_runs()] == [dg.DagsterRunStatus.FAILURE]
        assert recorded.event_log_storage.get_concurrency_info("narrow").active_slot_count == 0


def test_a_run_whose_process_lives_is_left_alone(home: Home) -> None:
    with open_instance() as recorded:
        closed: list[list[str]] = []

        @dg.asset
        def looking() -> None:
            closed.append(fail_dead_runs(recorded))

        assert dg.materialize([looking], instance=recorded).success
        assert closed == [[]]


def test_slots_of_a_run_that_is_over_are_freed_by_the_next_one(home: Home) -> None:
    with open_instance() as recorded:
        over = materialize("*", DAY, definitions=definitions(), instance=recorded)
        storage = recorded.event_log_storage
        storage.claim_concurrency_slot("narrow", over.run_id, "left_behind")
        assert storage.get_concurrency_info("narrow").active_slot_count == 1
        assert materialize("*", DAY, definitions=definitions(), instance=recorded).success
        assert storage.get_concurrency_info("narrow").active_slot_count == 0


def print_and_crash() -> None:
    @dg.asset
    def crashing() -> None:
        print("last words", flush=True)
        os._exit(7)

    with open_instance() as recorded:
        dg.materialize([crashing], instance=recorded)


@pytest.mark.timeout(60)
def test_what_a_step_printed_before_it_ended_its_process_is_found(home: Home) -> None:
    assert exit_code(print_and_crash) == 7
    with open_instance() as recorded:
        (run,) = recorded.get_runs()
        events = [each.dagster_event for each in recorded.all_logs(run.run_id) if each.dagster_event]
        kinds = [event.event_type for event in events]
        assert kinds[-2:] == [dg.DagsterEventType.LOGS_CAPTURED, dg.DagsterEventType.STEP_START]
        key = [run.run_id, "compute_logs", events[-2].logs_captured_data.file_key]
        assert recorded.compute_log_manager.get_log_data(key).stdout == b"last words\n"


def ignore_every_end(begun: Any) -> None:
    @dg.asset
    def deaf() -> None:
        begun.set()
        while True:
            with suppress(BaseException):
                time.sleep(60)

    with open_instance() as recorded:
        dg.materialize([deaf], instance=recorded)


@pytest.mark.timeout(120)
def test_a_run_that_does_not_end_when_told_to_is_not_called_canceled_while_it_executes(home: Home) -> None:
    begun = FORKED.Event()
    process = start(ignore_every_end, begun)
    assert begun.wait(100)
    with open_instance() as recorded:
        (run,) = recorded.get_runs()
        assert recorded.run_launcher.terminate(run.run_id)
        process.join(1)
        assert process.is_alive()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_processes, "is_supervised", lambda *_: True)  # as runs of `millpond up` are
            recorded.report_run_canceled(run)
        assert exit_codes([process]) == [-signal.SIGKILL]
        found = recorded.get_run_by_id(run.run_id)
        assert found
        assert found.status == dg.DagsterRunStatus.CANCELED
