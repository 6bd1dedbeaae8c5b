from __future__ import annotations

import queue
from collections.abc import Sequence

import pytest
from dagster import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry

from millpond.instance.event_buffer import LONGEST_WAIT, EventBuffer, can_wait, let_starts_wait

PATIENCE = 30.0


def event(text: str) -> EventLogEntry:
    return EventLogEntry(None, 10, text, "run", 0.0)


class Store:
    """Takes batches of events, as their texts, but none that holds the text "bad"."""

    def __init__(self) -> None:
        self.batches: queue.Queue[list[str]] = queue.Queue()

    def __call__(self, events: Sequence[EventLogEntry]) -> None:
        texts = [each.user_message for each in events]
        if "bad" in texts:
            raise ValueError(f"cannot store {texts}")
        self.batches.put(texts)

    def stored(self) -> list[list[str]]:
        return [self.batches.get_nowait() for _ in range(self.batches.qsize())]


def test_events_that_wait_are_stored_with_the_next_in_their_order() -> None:
    waiting = EventBuffer(store := Store())
    waiting.add(event("first"))
    waiting.add(event("second"))
    waiting.flush([event("third")])
    assert store.stored() == [["first", "second", "third"]]
    waiting.flush()
    assert store.stored() == []


def test_an_event_is_stored_although_no_other_comes() -> None:
    waiting = EventBuffer(store := Store())
    waiting.add(event("lonely"))
    assert store.batches.get(timeout=LONGEST_WAIT + PATIENCE) == ["lonely"]
    waiting.add(event("again"))
    assert store.batches.get(timeout=LONGEST_WAIT + PATIENCE) == ["again"]


def test_an_event_that_cannot_be_stored_is_told_and_stops_no_other() -> None:
    waiting = EventBuffer(store := Store())
    for text in ("good", "bad", "better"):
        waiting.add(event(text))
    with pytest.raises(ValueError, match=r"cannot store \['bad'\]"):
        waiting.flush()
    assert store.stored() == [["good"], ["better"]]
    waiting.flush([event("after")])
    assert store.stored() == [["after"]]


def test_the_start_of_a_step_waits_only_if_its_code_is_the_platforms() -> None:
    def start_of(step: str) -> EventLogEntry:
        begun = DagsterEvent(DagsterEventType.STEP_START.value, "job", step_key=step)
        return EventLogEntry(None, 10, "", "run", 0.0, step_key=step, dagster_event=begun)

    let_starts_wait(["of_the_platform"])
    assert can_wait(start_of("of_the_platform"))
    assert not can_wait(start_of("of_the_project"))
