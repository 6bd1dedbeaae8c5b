"""Pause and resume of schedules and sensors, stored as Dagster's pages store it."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from millpond.automation.overview import Instigator, instigators, is_on, starts_runs
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
"""How long a pause waits for looks that had begun before it."""
_OLDEST_TICK = 60.0
"""A look that began longer ago died with its daemon."""
_POLL_SECONDS = 0.2


def switch(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    name: str | None,
    *,
    on: bool,
) -> list[str]:
    """Switch schedule or sensor `name` on or off; without a name pause the home, or end its pause.

    Returns the names of those that were changed. A pause switches off all that start runs, of any code
    location, and what is added while it lasts; its end switches on what was on before. Where there is no
    pause to end, all of this code location that start runs are switched on. Raises ConfigError if there is
    none of that name.
    """
    switches = _Switches(definitions, instance, settings)
    if name is not None:
        return switches.switch_one(name, on=on)
    return switches.resume_all() if on else switches.pause_all()


@dataclass(frozen=True)
class UnfinishedRuns:
    """Runs that a pause leaves alone: those that work, those that wait for their turn; and those it holds."""

    working: int
    queued: int
    held: int
    """Automatic ones that stay in the queue until the home is resumed."""


def count_unfinished_runs(instance: dg.DagsterInstance) -> UnfinishedRuns:
    """Return how many runs are under way."""
    status = dg.DagsterRunStatus
    working = dg.RunsFilter(statuses=[status.STARTING, status.STARTED, status.CANCELING])
    queued = dg.RunsFilter(statuses=[status.QUEUED, status.NOT_STARTED])
    held = 0
    if read_pause(instance):
        held = instance.get_runs_count(dg.RunsFilter(statuses=[status.QUEUED], tags={AUTOMATIC_TAG: "true"}))
    return UnfinishedRuns(instance.get_runs_count(working), instance.get_runs_count(queued) - held, held)


class _Switches:
    """The switches of a home: by their selector, which Dagster stores them under."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._repository = repository_origin(settings)
        self._instance = instance
        self._instigators = {self._selector(each): each for each in instigators(definitions)}
        self._states = {state.selector_id: state for state in instance.all_instigator_state()}

    def switch_one(self, name: str, *, on: bool) -> list[str]:
        """Switch the one of that name."""
        every = {each.name: selector for selector, each in self._instigators.items()}
        if name not in every:
            near = difflib.get_close_matches(name, every, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"there is no schedule or sensor {name!r}",
                unharmed="everything; nothing was paused or resumed",
                next_step=f"{hint}there are {', '.join(every)}; the conditions of assets are switched"
                " together, by the sensor keep_up",
            )
        selector = every[name]
        if not on:
            save_status(self._instance, selector, None)  # off by name: the end of a pause leaves it off
        if self._is_on(selector) == on:
            return []
        self._store(selector, InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED)
        return [name]

    def pause_all(self) -> list[str]:
        """Pause the home; returns once what it pauses no longer looks for something to start."""
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
        """Have no run that failed before the pause begin again in it."""
        due = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"})
        for run in self._instance.get_runs(due):
            if AUTO_RETRY_RUN_ID_TAG not in run.tags:
                self._instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})

    def resume_all(self) -> list[str]:
        """Switch on what the pause switched off; without a pause, all that start runs here."""
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
            self._states[selector] = self._new(self._instigators[selector], status, began)
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

    def _new(self, each: Instigator, status: InstigatorStatus, began: float | None) -> InstigatorState:
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

    def _selector(self, each: Instigator) -> str:
        return RemoteInstigatorOrigin(self._repository, each.name).get_selector().get_id()

    def _wait_for_ticks(self, selectors: Iterable[str]) -> None:
        """Wait for looks that had begun, and pause again what one of them switched on as it ended."""
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
