"""No garbage is searched for while a command loads; it is again before its work begins."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from millpond.runtime.garbage import (
    collect_rarely,
    collect_rarely_from_now,
    collect_rarely_in_children,
    pause_collection,
    resume_collection,
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    found = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # runs in this process may have raised it
    yield
    gc.set_threshold(*found)
    gc.unfreeze()
    gc.enable()


def test_a_search_that_was_paused_is_resumed_without_what_was_there() -> None:
    pause_collection()
    assert not gc.isenabled()
    resume_collection()
    assert gc.isenabled()
    assert gc.get_freeze_count()


def test_a_search_that_was_not_paused_sees_everything_as_before() -> None:
    before = gc.get_freeze_count()
    resume_collection()
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_work_that_drops_little_freezes_what_was_there_and_leaves_the_threshold_as_it_was() -> None:
    before = gc.get_threshold()
    with collect_rarely():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count()
    assert gc.get_threshold() == before


def test_work_that_is_done_again_and_again_freezes_nothing_and_collects_garbage_still() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    collect_rarely_from_now()
    assert gc.isenabled()
    assert gc.get_threshold() > before[0]
    assert gc.get_freeze_count() == before[1]


def test_processes_that_are_forked_search_less_often_and_not_what_was_there() -> None:
    before = gc.get_threshold()
    collect_rarely_in_children()
    assert gc.get_threshold() > before
    assert gc.get_freeze_count()
