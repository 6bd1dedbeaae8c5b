"""A writer that stands still holds its lock in bounds, and brings no old rows back when it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psutil
import pytest
import time_machine

from lake_readings import days, found, write
from millpond import crash_points
from millpond.errors import LockTimeout, PartitionConflict
from millpond.lake import read
from millpond.lake.connect import connect
from millpond.lake.history import plan_undo, undo
from millpond.lake.ref_log import list_commits
from millpond.runtime.home import Home
from millpond.settings import Settings
from processes import start
from waiting import until

REFUSED = 7
_END = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name like 'millpond % stopped'
"""


def write_and_stop(day: int) -> None:
    """Write a day, and stand still before the commit."""
    crash_points.arm("lake.before_swap", signal.SIGSTOP)
    try:
        write({day: [2]}, run="stopped")
    except PartitionConflict:
        os._exit(REFUSED)


@contextmanager
def stopped(day: int) -> Iterator[Callable[[], int | None]]:
    """Have a writer that was stopped; yields what lets it go on, and returns how it ended."""
    process = start(write_and_stop, day)
    one = psutil.Process(process.pid)
    until(lambda: one.status() == psutil.STATUS_STOPPED)

    def go_on() -> int | None:
        one.resume()
        process.join(60)
        return process.exitcode

    try:
        yield go_on
    finally:
        process.kill()
        process.join()


def end_session() -> None:
    """End the stopped writer's session in Postgres, as its host's end or an administrator does."""
    with closing(connect()) as connection:
        assert connection.execute(_END).fetchall() == [(True,)]


def test_the_lock_of_a_stopped_writer_is_waited_for_in_bounds_and_it_goes_on_unharmed(
    home: Home, configure: Callable[..., Settings]
) -> None:
    write({0: [1]})
    with stopped(0) as go_on:
        configure(lock_seconds=0.5)
        with pytest.raises(
            LockTimeout, match=r"raw\.readings on ref main is being written by millpond .* stopped"
        ):
            write({0: [3]})
        assert found() == {0: [1]}
        assert go_on() == 0
    assert found() == {0: [2]}


def test_a_writer_that_lost_its_lock_brings_no_older_rows_of_a_day_back(home: Home) -> None:
    write({0: [1]})
    with stopped(0) as go_on:
        end_session()
        write({0: [3]})
        assert go_on() == REFUSED
    assert found() == {0: [3]}


def test_a_writer_that_lost_its_lock_goes_on_where_others_wrote_other_days(home: Home) -> None:
    write({0: [1]})
    with stopped(0) as go_on:
        end_session()
        write({1: [3]})
        assert go_on() == 0
    assert found() == {0: [2], 1: [3]}


def test_a_clock_that_is_set_back_or_ahead_changes_nothing_but_the_times_that_are_shown(home: Home) -> None:
    with time_machine.travel("2026-11-20T12:00:00+00:00", tick=True) as clock:
        write({0: [1]})
        clock.move_to("2026-11-20T10:00:00+00:00")
        write({0: [2]})
        clock.move_to("2026-11-20T14:00:00+00:00")
        write({0: [3], 1: [3]}, days(0, 1))
        clock.move_to("2026-11-20T09:00:00+00:00")
        write({1: [4]})
        assert found() == {0: [3], 1: [4]}
        order = [s.sequence_number for s in read.load_table("main", "raw.readings").metadata.snapshots]
        assert order == sorted(order)
        undo(plan_undo("main", list_commits("main", limit=1)[0].id))
        assert found() == {0: [3], 1: [3]}
