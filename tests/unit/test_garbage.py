"""No garbage is searched for while a command loads; it is again before its work begins."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from millpond.runtime.garbage import pause_collection, resume_collection


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
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
