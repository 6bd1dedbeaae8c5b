"""Threads of one write take turns: one runs Python, and gives up its turn while it reads or writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from millpond.lake.turns import end_turns, leave_turn, take_turns

_SECONDS = 30.0


def _run_both(first: Callable[[], object], second: Callable[[], object]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(first), pool.submit(second)]:
            future.result(_SECONDS)


def test_one_thread_has_the_turn_at_a_time() -> None:
    turn, inside, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(2_000):
            with take_turns(turn):
                inside += 1
                most = max(most, inside)
                time.sleep(0)  # the other thread runs, if it may
                inside -= 1

    _run_both(work, work)
    assert most == 1


@pytest.mark.parametrize("give_up", ["leaves", "ends"])
def test_a_thread_that_gives_up_its_turn_lets_another_one_run(give_up: str) -> None:
    turn, other_ran, began = threading.Lock(), threading.Event(), threading.Event()

    def wait() -> None:
        with take_turns(turn):
            began.set()
            if give_up == "ends":
                end_turns()
                assert other_ran.wait(_SECONDS)
            else:
                with leave_turn():
                    assert other_ran.wait(_SECONDS)
                assert turn.locked()

    def run() -> None:
        assert began.wait(_SECONDS)
        with take_turns(turn):
            other_ran.set()

    _run_both(wait, run)
    assert not turn.locked()


def test_a_turn_is_given_back_once_whether_its_work_fails_or_it_ended_before() -> None:
    turn = threading.Lock()
    with pytest.raises(OSError, match="full"), take_turns(turn), leave_turn():
        raise OSError("full")
    assert not turn.locked()
    with take_turns(turn):
        end_turns()
        assert not turn.locked()
    assert not turn.locked()


def test_a_thread_without_turns_waits_for_nobody() -> None:
    with leave_turn():
        end_turns()


def test_a_turn_that_was_left_need_not_be_left_again() -> None:
    turn = threading.Lock()
    with take_turns(turn):
        with leave_turn(), leave_turn():
            assert not turn.locked()
        assert turn.locked()
