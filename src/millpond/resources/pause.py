"""The pause of a home: while it lasts, no schedule or sensor starts runs, also none that is added meanwhile.

It is kept in Dagster's storage, so restarts, reloads and all processes of the home see it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)

from millpond.naming import PAUSE_KEY


@dataclass(frozen=True)
class Pause:
    """Since when (seconds since 1970), and which schedules and sensors only watch: these stay on."""

    since: float
    watching: frozenset[str]


def read_pause(instance: DagsterInstance) -> Pause | None:
    """Return the pause, None if there is none."""
    text = instance.daemon_cursor_storage.get_cursor_values({PAUSE_KEY}).get(PAUSE_KEY)
    if not text:
        return None
    stored = json.loads(text)
    return Pause(stored["since"], frozenset(stored["watching"]))


def begin_pause(instance: DagsterInstance, watching: Iterable[str]) -> None:
    """Begin the pause, or go on with it; the selectors in `watching` are not paused."""
    began = read_pause(instance)
    since = began.since if began else time.time()
    text = json.dumps({"since": since, "watching": sorted(watching)})
    instance.daemon_cursor_storage.set_cursor_values({PAUSE_KEY: text})


def end_pause(instance: DagsterInstance) -> None:
    """End the pause; what it switched off is still off."""
    instance.daemon_cursor_storage.set_cursor_values({PAUSE_KEY: ""})


def note_before(instance: DagsterInstance, selector: str, status: InstigatorStatus | None) -> None:
    """Note what a switch was before the pause, to be restored by its end; None forgets it."""
    text = status.value if status else ""
    instance.daemon_cursor_storage.set_cursor_values({_key(selector): text})


def statuses_before(instance: DagsterInstance, selectors: Iterable[str]) -> dict[str, InstigatorStatus]:
    """Return what each of these switches was before, for those that the pause switched off."""
    keys = {_key(selector): selector for selector in selectors}
    stored = instance.daemon_cursor_storage.get_cursor_values(set(keys)) if keys else {}
    return {keys[key]: InstigatorStatus(value) for key, value in stored.items() if value}


def with_pause(instance: DagsterInstance, state: InstigatorState) -> InstigatorState:
    """Return `state` as it is to be stored: switched off if the code switched it on during a pause.

    What a person switches on by name has another status and stays on.
    """
    if state.status != InstigatorStatus.DECLARED_IN_CODE:
        return state
    pause = read_pause(instance)
    if pause is None or state.selector_id in pause.watching:
        return state
    note_before(instance, state.selector_id, state.status)
    data = state.instigator_data
    if state.instigator_type == InstigatorType.SENSOR and isinstance(data, SensorInstigatorData):
        # Dagster is about to evaluate it for the first time; a tick just now keeps it from that.
        state = state.with_data(data._replace(last_tick_start_timestamp=time.time()))
    return state.with_status(InstigatorStatus.STOPPED)


def _key(selector: str) -> str:
    """Return where it is noted what a switch was before the pause."""
    return f"{PAUSE_KEY}/{selector}"
