"""Calls of a clock are made when they are due, the soonest first, whatever order they were asked for in."""

from __future__ import annotations

import queue
import threading
import time

from millpond.runtime.clock import Clock


def test_calls_are_made_in_the_order_in_which_they_are_due() -> None:
    clock, made = Clock("test"), queue.Queue[str]()
    for name, seconds in (("third", 0.3), ("first", 0.1), ("second", 0.2)):
        clock.call_after(seconds, lambda name=name: made.put(name))
    assert [made.get(timeout=10) for _ in range(3)] == ["first", "second", "third"]


def test_no_call_is_made_before_its_time() -> None:
    clock, made = Clock("test"), queue.Queue[float]()
    began = time.monotonic()
    clock.call_after(0.2, lambda: made.put(time.monotonic()))
    assert made.get(timeout=10) - began >= 0.2


def test_a_clock_that_waits_for_long_hears_of_what_is_due_sooner() -> None:
    clock, made = Clock("test"), threading.Event()
    clock.call_after(3_600, lambda: None)
    clock.call_after(0.0, made.set)
    assert made.wait(10)


def test_all_calls_are_made_by_one_thread() -> None:
    clock, made = Clock("test"), queue.Queue[int]()
    for _ in range(20):
        clock.call_after(0.0, lambda: made.put(threading.get_ident()))
    assert len({made.get(timeout=10) for _ in range(20)}) == 1
