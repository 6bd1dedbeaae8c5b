"""Pools when several runs come to them at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from millpond.instance.home import open_instance
from millpond.runs.progress import RunProgress
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

RUNS = 8


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
