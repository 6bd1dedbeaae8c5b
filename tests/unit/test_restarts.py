"""A part that ends again and again is started ever later, and never more than five times a minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millpond.runtime.keeper import LIMIT, WINDOW_SECONDS, Restarts


def test_the_first_restart_comes_at_once_and_each_next_one_later() -> None:
    restarts = Restarts()
    waits = [restarts.wait(now=0.0) for _ in range(LIMIT)]
    assert waits[0] < 1
    assert waits == sorted(waits)
    assert not restarts.exhausted


def test_a_part_that_ran_for_long_is_started_at_once_again() -> None:
    restarts = Restarts()
    first = restarts.wait(now=0.0)
    for _ in range(3):
        restarts.wait(now=1.0)
    assert restarts.wait(now=1000.0) == first


def test_the_wait_after_too_many_restarts_is_announced_as_such() -> None:
    restarts = Restarts()
    waits = [restarts.wait(now=0.0) for _ in range(LIMIT + 1)]
    assert restarts.exhausted
    assert waits[-1] >= WINDOW_SECONDS
    assert restarts.count == LIMIT + 1


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_no_minute_sees_more_than_five_restarts(lives: list[float]) -> None:
    restarts, now, starts = Restarts(), 0.0, []
    for life in lives:
        now += life
        now += restarts.wait(now)
        starts.append(now)
    for start in starts:
        assert sum(start <= other < start + WINDOW_SECONDS - 1e-6 for other in starts) <= LIMIT
