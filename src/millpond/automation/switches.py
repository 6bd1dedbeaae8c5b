"""Pauses and resumes schedules and sensors, stored as Dagster's pages store it."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from millpond.automation.overview import Instigator, is_on, list_instigators, starts_runs
from millpond.errors import ConfigError
from millpond.instance.home import repository_origin
from millpond.instance.pause import (
    AUTOMATIC_TAG,
    begin_pause,
    end_pause,
    read_pause,
    read_saved_statuses,
    save_status,
)
from millpond.internals.dagster import (
    AUTO_RETRY_RUN_ID_TAG,
    WILL_RETRY_TAG,
    InstigatorType,
    RemoteInstigatorOrigin,
)
from millpond.internals.dagster_on_demand import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from millpond.settings import Settings

_TICK_SECONDS = 15.0
"""How long a pause waits for ticks that began before it."""
_OLDEST_TICK = 60.0
"""A tick that began longer ago died with its daemon."""
_POLL_SECONDS = 0.2


def switch(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    name: str | None,
    *,
    on: bool,
) -> list[str]:
    """Switch schedule or sensor `name` on or off; without a name, pause or resume the home.

    Returns the names of what changed. A pause switches off everything that starts runs, in any code location,
    including what is added later; resuming switches on what was on before. Without a pause, it switches on
    everything in this code location that starts runs. Raises ConfigError for an unknown name.
    """
    switches = _Switches(definitions, instance, settings)
    if name is not None:
        return switches.switch_one(name, on=on)
    return switches.resume_all() if on else switches.pause_all()


@dataclass(frozen=True)
class UnfinishedRuns:
    """Numbers of unfinished runs: working, queued, and held back by a pause."""

    working: int
    queued: int
    held: int
    """Automatic runs that stay in the queue until the home is resumed."""


def count_unfinished_runs(instance: dg.DagsterInstance) -> UnfinishedRuns:
    """Return how many runs are unfinished."""
    status = dg.DagsterRunStatus
    working = dg.RunsFilter(statuses=[status.STARTING, status.STARTED, status.CANCELING])
    queued = dg.RunsFilter(statuses=[status.QUEUED, status.NOT_STARTED])
    held = 0
    if read_pause(instance):
        held = instance.get_runs_count(dg.RunsFilter(statuses=[status.QUEUED], tags={AUTOMATIC_TAG: "true"}))
    return UnfinishedRuns(instance.get_runs_count(working), instance.get_runs_count(queued) - held, held)


class _Switches:
    """The switches of a home, by the selector id that Dagster stores them under."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._repository = repository_origin(settings)
        self._instance = instance
        self._instigators = {self._find_selector(each): each for each in list_instigators(definitions)}
        self._states = {state.selector_id: state for state in instance.all_instigator_state()}

    def switch_one(self, name: str, *, on: bool) -> list[str]:
        """Switch the schedule or sensor of that name."""
        every = {each.name: selector for selector, each in self._instigators.items()}
        if name not in every:
            near = difflib.get_close_matches(name, every, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"there is no schedule or sensor {name!r}",
                unharmed="everything; nothing was paused or resumed",
                next_step=f"{hint}use one of {', '.join(every)}; keep_up switches all conditions",
            )
        selector = every[name]
        if not on:
            save_status(self._instance, selector, None)  # resuming the home leaves it off
        if self._is_on(selector) == on:
            return []
        self._store(selector, InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED)
        return [name]

    def pause_all(self) -> list[str]:
        """Pause the home; returns once no tick of what was paused is running."""
        watching = [selector for selector, each in self._instigators.items() if not starts_runs(each)]
        begin_pause(self._instance, watching)
        self._cancel_retries()
        paused = [
            selector
            for selector in [
                *self._instigators,
                *(each for each in self._states if each not in self._instigators),
            ]
            if selector not in watching and self._is_on(selector)
        ]
        for selector in paused:
            state = self._states.get(selector)
            before = state.status if state else InstigatorStatus.DECLARED_IN_CODE
            save_status(self._instance, selector, before)
            self._store(selector, InstigatorStatus.STOPPED)
        self._wait_for_ticks(paused)
        return [self._name(selector) for selector in paused]

    def _cancel_retries(self) -> None:
        """Cancel the retries of runs that failed before the pause."""
        due = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"})
        for run in self._instance.get_runs(due):
            if AUTO_RETRY_RUN_ID_TAG not in run.tags:
                self._instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})

    def resume_all(self) -> list[str]:
        """Switch on what the pause switched off; without a pause, everything here that starts runs."""
        was_paused = read_pause(self._instance) is not None
        before = read_saved_statuses(self._instance, {*self._instigators, *self._states})
        end_pause(self._instance)
        if not was_paused and not before:
            chosen = [selector for selector, each in self._instigators.items() if starts_runs(each)]
            before = dict.fromkeys(chosen, InstigatorStatus.RUNNING)
        changed = []
        for selector, status in before.items():
            if not self._is_on(selector):
                self._store(selector, status)
                changed.append(self._name(selector))
            save_status(self._instance, selector, None)
        return changed

    def _is_on(self, selector: str) -> bool:
        state, instigator = self._states.get(selector), self._instigators.get(selector)
        if instigator:
            return is_on(instigator, state)
        return state is not None and state.status != InstigatorStatus.STOPPED

    def _name(self, selector: str) -> str:
        instigator = self._instigators.get(selector)
        return instigator.name if instigator else self._states[selector].instigator_name

    def _store(self, selector: str, status: InstigatorStatus) -> None:
        began = None if status == InstigatorStatus.STOPPED else time.time()
        stored = self._states.get(selector)
        if stored is None:
            self._states[selector] = self._build_state(self._instigators[selector], status, began)
            self._instance.add_instigator_state(self._states[selector])
            return
        data = stored.instigator_data
        if isinstance(data, SensorInstigatorData):  # which holds the cursor
            data = data.with_sensor_start_timestamp(time.time())
        elif isinstance(data, ScheduleInstigatorData):
            data = ScheduleInstigatorData(data.cron_schedule, start_timestamp=began)
        self._states[selector] = stored.with_status(status)
        if data:
            self._states[selector] = self._states[selector].with_data(data)
        self._instance.update_instigator_state(self._states[selector])

    def _build_state(
        self, each: Instigator, status: InstigatorStatus, began: float | None
    ) -> InstigatorState:
        """Return the state as Dagster would store it."""
        origin = RemoteInstigatorOrigin(self._repository, each.name)
        if isinstance(each, dg.ScheduleDefinition):
            schedule = ScheduleInstigatorData(each.cron_schedule, start_timestamp=began)
            return InstigatorState(origin, InstigatorType.SCHEDULE, status, schedule)
        sensor = SensorInstigatorData(
            min_interval=each.minimum_interval_seconds,
            last_sensor_start_timestamp=began,
            sensor_type=each.sensor_type,
        )
        return InstigatorState(origin, InstigatorType.SENSOR, status, sensor)

    def _find_selector(self, each: Instigator) -> str:
        return RemoteInstigatorOrigin(self._repository, each.name).get_selector().get_id()

    def _wait_for_ticks(self, selectors: Iterable[str]) -> None:
        """Wait for running ticks, and switch off again what one of them switched on as it ended."""
        paused, deadline = list(selectors), time.monotonic() + _TICK_SECONDS
        while any(self._has_open_tick(selector) for selector in paused) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        now = {state.selector_id: state for state in self._instance.all_instigator_state()}
        for selector in paused:
            if selector in now and now[selector].status != InstigatorStatus.STOPPED:
                self._states[selector] = now[selector]
                self._store(selector, InstigatorStatus.STOPPED)

    def _has_open_tick(self, selector: str) -> bool:
        state = self._states[selector]
        ticks = self._instance.get_ticks(state.instigator_origin_id, selector, limit=1)
        return any(
            tick.status == TickStatus.STARTED and time.time() - tick.timestamp < _OLDEST_TICK
            for tick in ticks
        )
