"""The pause of a home: no schedule or sensor starts runs, including those added later.

Automatic runs that are already in Dagster's queue stay there until the pause ends. The pause is kept in
Dagster's storage, so it applies to all processes of the home and survives restarts.
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
"""Tag of runs that automation requested."""
_AUTOMATIC_TAGS = frozenset(
    [SCHEDULE_NAME_TAG, SENSOR_NAME_TAG, AUTOMATION_CONDITION_TAG, AUTO_MATERIALIZE_TAG, AUTO_OBSERVE_TAG]
)


@dataclass(frozen=True)
class Pause:
    """When it began (seconds since 1970), and the schedules and sensors that stay on: they start no runs."""

    since: float
    watching: frozenset[str]


def read_pause(instance: DagsterInstance) -> Pause | None:
    """Return the pause; None if the home is not paused."""
    text = instance.daemon_cursor_storage.get_cursor_values({PAUSE_KEY}).get(PAUSE_KEY)
    if not text:
        return None
    stored = json.loads(text)
    return Pause(stored["since"], frozenset(stored["watching"]))


def begin_pause(instance: DagsterInstance, watching: Iterable[str]) -> None:
    """Begin or continue the pause; the selectors in `watching` are not paused."""
    began = read_pause(instance)
    since = began.since if began else time.time()
    text = json.dumps({"since": since, "watching": sorted(watching)})
    instance.daemon_cursor_storage.set_cursor_values({PAUSE_KEY: text})


def end_pause(instance: DagsterInstance) -> None:
    """End the pause; what it switched off stays off until it is restored."""
    instance.daemon_cursor_storage.set_cursor_values({PAUSE_KEY: ""})


def save_status(instance: DagsterInstance, selector: str, status: InstigatorStatus | None) -> None:
    """Save the status of a switch before the pause, to be restored at its end; None deletes it."""
    text = status.value if status else ""
    instance.daemon_cursor_storage.set_cursor_values({_key(selector): text})


def read_saved_statuses(instance: DagsterInstance, selectors: Iterable[str]) -> dict[str, InstigatorStatus]:
    """Return the saved statuses of the switches that the pause switched off."""
    keys = {_key(selector): selector for selector in selectors}
    stored = instance.daemon_cursor_storage.get_cursor_values(set(keys)) if keys else {}
    return {keys[key]: InstigatorStatus(value) for key, value in stored.items() if value}


def apply_pause(instance: DagsterInstance, state: InstigatorState) -> InstigatorState:
    """Return `state` as it is stored: switched off if code switched it on during a pause.

    What is switched on by name has another status and stays on.
    """
    if state.status != InstigatorStatus.DECLARED_IN_CODE:
        return state
    pause = read_pause(instance)
    if pause is None or state.selector_id in pause.watching:
        return state
    save_status(instance, state.selector_id, state.status)
    data = state.instigator_data
    if state.instigator_type == InstigatorType.SENSOR and isinstance(data, SensorInstigatorData):
        # Dagster is about to evaluate it for the first time; a recent tick prevents that.
        state = state.with_data(data._replace(last_tick_start_timestamp=time.time()))
    return state.with_status(InstigatorStatus.STOPPED)


def mark_automatic(instance: DagsterInstance, run: DagsterRun) -> DagsterRun:
    """Return `run` as it is stored: tagged if a pause should keep it in the queue.

    A manual re-execution of an automatic run has its tags but is not automatic, nor is a run of a schedule or
    sensor that was resumed by name while the home is paused.
    """
    tags = {name: value for name, value in run.tags.items() if name != AUTOMATIC_TAG}
    reexecuted = PARENT_RUN_ID_TAG in tags and RETRY_NUMBER_TAG not in tags
    automatic = RETRY_NUMBER_TAG in tags or not _AUTOMATIC_TAGS.isdisjoint(tags)
    if automatic and not reexecuted and not _was_resumed_by_name(instance, tags):
        tags[AUTOMATIC_TAG] = "true"
    return run if tags == run.tags else run._replace(tags=tags)


def hold_queued(instance: DagsterInstance, config: ConcurrencyConfig) -> ConcurrencyConfig:
    """Return `config` with a limit that keeps automatic runs in the queue while the home is paused."""
    queue = config.run_queue_config
    if queue is None or read_pause(instance) is None:
        return config
    limits = [*queue.tag_concurrency_limits, {"key": AUTOMATIC_TAG, "limit": 0}]
    return ConcurrencyConfig(
        pool_config=config.pool_config, run_queue_config=queue._replace(tag_concurrency_limits=limits)
    )


def hold_at_launch(instance: DagsterInstance, launcher: RunLauncher) -> RunLauncher:
    """Return `launcher`, which puts automatic runs back into the queue while the home is paused.

    Dagster's daemon first selects the runs to dequeue, then launches them one by one: a pause may begin in
    between.
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
    """Return the key of the saved status of a switch."""
    return f"{PAUSE_KEY}/{selector}"
