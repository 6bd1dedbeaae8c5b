"""Pools when several runs come to them at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan.active import ActiveExecution

from millpond.instance.home import open_instance
from millpond.instance.pool_slots import PoolSlots
from millpond.internals.dagster import ConcurrencyClaimStatus
from millpond.runs.progress import RunProgress
from millpond.runs.run import SILENT
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

RUNS, CLAIMS = 8, 5


def test_runs_that_are_the_first_to_use_a_pool_at_once_make_it_once(home: Home) -> None:
    ready = threading.Barrier(RUNS)
    with open_instance() as recorded, ThreadPoolExecutor(RUNS) as runs:
        storage = recorded.event_log_storage

        def first_use(_: int) -> bool:
            ready.wait()
            return storage.initialize_concurrency_limit_to_default("new")

        assert all(runs.map(first_use, range(RUNS)))
        found = storage.get_concurrency_info("new")
        assert (found.slot_count, found.active_slot_count, found.using_default_limit) == (1, 0, True)


def test_a_pool_takes_on_a_new_default_size_and_keeps_one_that_was_set(home: Home) -> None:
    with open_instance() as recorded, databases().dagster.connect() as connection:
        storage = recorded.event_log_storage
        for pool in ("grown", "set"):
            storage.initialize_concurrency_limit_to_default(pool)
        connection.execute("UPDATE concurrency_limits SET \"limit\" = 3 WHERE concurrency_key = 'grown'")
        connection.commit()
        storage.set_concurrency_slots("set", 2)
        for pool in ("grown", "set"):
            storage.initialize_concurrency_limit_to_default(pool)
        sizes = {pool.name: (pool.limit, pool.from_default) for pool in storage.get_pool_limits()}
        assert sizes == {"grown": (1, True), "set": (2, False)}


def test_a_step_claims_a_free_slot_and_the_next_in_line_follows_it(home: Home) -> None:
    with open_instance() as recorded, databases().dagster.connect() as connection:
        storage = recorded.event_log_storage
        storage.initialize_concurrency_limit_to_default("one")
        first = storage.claim_concurrency_slot("one", "run", "first")
        assert (first.is_claimed, first.is_assigned, first.priority) == (True, True, None)
        assert first.enqueued_timestamp is not None
        assert storage.claim_concurrency_slot("one", "run", "first").is_claimed
        assert not storage.claim_concurrency_slot("one", "other", "second").is_assigned
        assert not storage.claim_concurrency_slot("one", "other", "third", 1).is_assigned
        storage.free_concurrency_slot_for_step("run", "first")
        assert not storage.claim_concurrency_slot("one", "other", "second").is_claimed
        assert storage.claim_concurrency_slot("one", "other", "third", 1).is_claimed
        storage.free_concurrency_slot_for_step("other", "third")
        assert storage.claim_concurrency_slot("one", "other", "second").is_claimed
        storage.free_concurrency_slot_for_step("other", "second")
        assert connection.execute("SELECT count(*) FROM pending_steps").fetchone() == (0,)
        info = storage.get_concurrency_info("one")
        assert (info.slot_count, info.active_slot_count, info.pending_step_count) == (1, 0, 0)


def test_a_step_in_line_claims_again_soon_and_less_often_the_longer_it_waits(home: Home) -> None:
    with open_instance() as recorded, databases().dagster.connect() as connection:
        storage = recorded.event_log_storage
        storage.initialize_concurrency_limit_to_default("one")
        assert storage.claim_concurrency_slot("one", "run", "first").sleep_interval is None
        waits = [storage.claim_concurrency_slot("one", "other", "second").sleep_interval]
        for seconds in (10, 3600):
            connection.execute(
                "UPDATE pending_steps SET create_timestamp = now() - make_interval(secs => %s)"
                " WHERE step_key = 'second'",
                [seconds],
            )
            connection.commit()
            waits.append(storage.claim_concurrency_slot("one", "other", "second").sleep_interval)
    fresh, old, oldest = (wait or 0.0 for wait in waits)
    assert 0 < fresh < old < oldest == 1


def test_a_run_that_waits_for_a_slot_sleeps_until_it_claims_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, claims = 0, 0

    @dg.op(pool="one")
    def wanted() -> None: ...

    @dg.job(executor_def=dg.in_process_executor)
    def waiting() -> None:
        wanted()

    with open_instance() as recorded:
        storage = recorded.event_log_storage
        storage.initialize_concurrency_limit_to_default("one")
        assert storage.claim_concurrency_slot("one", "other", "first").is_claimed
        look, claim = ActiveExecution.get_next_step, PoolSlots.claim_concurrency_slot

        def count_looks(self: ActiveExecution) -> object:
            nonlocal looks
            looks += 1
            return look(self)

        def count_claims(self: PoolSlots, *given: Any) -> ConcurrencyClaimStatus:
            nonlocal claims
            claims += 1
            if claims == CLAIMS:
                self.free_concurrency_slot_for_step("other", "first")
            return claim(self, *given)

        monkeypatch.setattr(ActiveExecution, "get_next_step", count_looks)
        monkeypatch.setattr(PoolSlots, "claim_concurrency_slot", count_claims)
        assert waiting.execute_in_process(instance=recorded, run_config=SILENT).success
    assert claims >= CLAIMS
    assert looks <= 2 * claims


def test_steps_that_claim_at_once_share_the_slots(home: Home) -> None:
    ready = threading.Barrier(RUNS)
    with open_instance() as recorded, ThreadPoolExecutor(RUNS) as runs:
        storage = recorded.event_log_storage
        storage.initialize_concurrency_limit_to_default("few")
        storage.set_concurrency_slots("few", 3)

        def claim(number: int) -> bool:
            ready.wait()
            return storage.claim_concurrency_slot("few", f"run {number}", "step").is_claimed

        claimed = sum(runs.map(claim, range(RUNS)))
        assert 1 <= claimed <= 3
        assert storage.get_concurrency_info("few").active_slot_count == claimed


def test_a_run_that_fails_outside_its_steps_says_why(home: Home) -> None:
    @dg.op
    def never() -> None: ...

    @dg.job(executor_def=dg.in_process_executor)
    def broken() -> None:
        never()

    with open_instance() as recorded:
        progress = RunProgress(None)
        run = recorded.create_run_for_job(broken)
        recorded.add_event_listener(run.run_id, progress)
        recorded.report_run_failed(run, "the pool is broken")
        (failure,) = progress.outcome(run.run_id, False, 0).failures
        assert failure.assets == ()
        assert "the pool is broken" in failure.message


def test_a_run_that_has_failed_stays_so_when_its_process_says_that_it_was_told_to_end(home: Home) -> None:
    @dg.job
    def empty() -> None: ...

    with open_instance() as recorded:
        statuses = []
        for fails in (True, False):
            run = recorded.create_run_for_job(empty)
            if fails:
                recorded.report_run_failed(run, "Exceeded maximum runtime")
            recorded.report_run_canceled(run)
            found = recorded.get_run_by_id(run.run_id)
            statuses.append(found and found.status)
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
