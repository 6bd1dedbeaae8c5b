"""The pause of a home: while it lasts, no schedule or sensor starts runs, also none that is added meanwhile.

Runs that they asked for before and that wait in Dagster's queue stay there until it ends.

It is kept in Dagster's storage, so restarts, reloads and all processes of the home see it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dagster import DagsterEvent, DagsterInstance, DagsterRun

from millpond.internals.dagster import (
    AUTO_MATERIALIZE_TAG,
    AUTO_OBSERVE_TAG,
    AUTOMATION_CONDITION_TAG,
    PARENT_RUN_ID_TAG,
    RETRY_NUMBER_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    ConcurrencyConfig,
    InstigatorType,
    LaunchRunContext,
    RunLauncher,
)
from millpond.internals.dagster_on_demand import InstigatorState, InstigatorStatus, SensorInstigatorData
from millpond.naming import PAUSE_KEY

AUTOMATIC_TAG = "millpond/automatic"
"""Tag of runs that no person asked for."""
_BY_ITSELF = frozenset(
    [SCHEDULE_NAME_TAG, SENSOR_NAME_TAG, AUTOMATION_CONDITION_TAG, AUTO_MATERIALIZE_TAG, AUTO_OBSERVE_TAG]
)


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


def save_status(instance: DagsterInstance, selector: str, status: InstigatorStatus | None) -> None:
    """Note what a switch was before the pause, to be restored by its end; None forgets it."""
    text = status.value if status else ""
    instance.daemon_cursor_storage.set_cursor_values({_key(selector): text})


def read_saved_statuses(instance: DagsterInstance, selectors: Iterable[str]) -> dict[str, InstigatorStatus]:
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
    save_status(instance, state.selector_id, state.status)
    data = state.instigator_data
    if state.instigator_type == InstigatorType.SENSOR and isinstance(data, SensorInstigatorData):
        # Dagster is about to evaluate it for the first time; a tick just now keeps it from that.
        state = state.with_data(data._replace(last_tick_start_timestamp=time.time()))
    return state.with_status(InstigatorStatus.STOPPED)


def mark_automatic(instance: DagsterInstance, run: DagsterRun) -> DagsterRun:
    """Return `run`, as it is to be stored, with the tag of those that a pause keeps in the queue.

    A person's repetition of an automatic run has its tags and is none. Nor is one of what somebody resumed by
    name while the home is paused.
    """
    tags = {name: value for name, value in run.tags.items() if name != AUTOMATIC_TAG}
    repeated = PARENT_RUN_ID_TAG in tags and RETRY_NUMBER_TAG not in tags
    by_itself = RETRY_NUMBER_TAG in tags or not _BY_ITSELF.isdisjoint(tags)
    if by_itself and not repeated and not _was_resumed_by_name(instance, tags):
        tags[AUTOMATIC_TAG] = "true"
    return run if tags == run.tags else run._replace(tags=tags)


def hold_queued(instance: DagsterInstance, config: ConcurrencyConfig) -> ConcurrencyConfig:
    """Return which runs may leave the queue: by `config`, and no automatic one while the home is paused."""
    queue = config.run_queue_config
    if queue is None or read_pause(instance) is None:
        return config
    limits = [*queue.tag_concurrency_limits, {"key": AUTOMATIC_TAG, "limit": 0}]
    return ConcurrencyConfig(
        pool_config=config.pool_config, run_queue_config=queue._replace(tag_concurrency_limits=limits)
    )


def hold_at_launch(instance: DagsterInstance, launcher: RunLauncher) -> RunLauncher:
    """Return `launcher`, which puts automatic runs back into the queue while the home is paused.

    Dagster's daemon first reads which runs may leave the queue, then launches them one by one: a pause may
    begin in between.
    """
    if "launch_run" in vars(launcher):
        return launcher
    launch = launcher.launch_run

    def launch_unless_paused(context: LaunchRunContext) -> None:
        run = context.dagster_run
        if AUTOMATIC_TAG in run.tags and read_pause(instance) is not None:
            instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)
        else:
            launch(context)

    launcher.launch_run = launch_unless_paused  # type: ignore[method-assign]
    return launcher


def _was_resumed_by_name(instance: DagsterInstance, tags: Mapping[str, str]) -> bool:
    name = tags.get(SENSOR_NAME_TAG) or tags.get(SCHEDULE_NAME_TAG)
    return read_pause(instance) is not None and any(
        state.instigator_name == name and state.status != InstigatorStatus.STOPPED
        for state in instance.all_instigator_state()
    )


def _key(selector: str) -> str:
    """Return where it is noted what a switch was before the pause."""
    return f"{PAUSE_KEY}/{selector}"
