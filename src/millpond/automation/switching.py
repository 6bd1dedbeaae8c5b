"""Switching schedules and sensors on and off, as Dagster's pages do: kept in its storage, over restarts."""

from __future__ import annotations

import difflib
import time

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
)

from millpond.automation.overview import Instigator, instigators, is_on, starts_runs
from millpond.errors import ConfigError
from millpond.runtime.dagster_parts import code_server_socket, location_name
from millpond.runtime.home import layout
from millpond.settings import Settings


def switch(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    name: str | None,
    *,
    on: bool,
) -> list[str]:
    """Switch schedule or sensor `name` on or off, or all that start runs; returns those that were changed.

    Raises ConfigError if there is none of that name.
    """
    every = {each.name: each for each in instigators(definitions)}
    if name is not None and name not in every:
        near = difflib.get_close_matches(name, every, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"there is no schedule or sensor {name!r}",
            next_step=f"{hint}there are {', '.join(every)}; the conditions of assets are switched"
            " together, by the sensor keep_up",
        )
    chosen = [every[name]] if name else [each for each in every.values() if starts_runs(each)]
    stored = {state.name: state for state in instance.all_instigator_state()}
    changed = [each for each in chosen if is_on(each, stored.get(each.name)) != on]
    for each in changed:
        _store(instance, stored.get(each.name), _state(each, settings, on))
    return [each.name for each in changed]


def _store(instance: dg.DagsterInstance, stored: InstigatorState | None, wanted: InstigatorState) -> None:
    if stored is None:
        instance.add_instigator_state(wanted)
        return
    data = stored.instigator_data
    if isinstance(data, SensorInstigatorData):  # which holds the cursor
        begun = data.with_sensor_start_timestamp(time.time())
        instance.update_instigator_state(stored.with_status(wanted.status).with_data(begun))
    else:
        instance.update_instigator_state(wanted)


def _state(each: Instigator, settings: Settings, on: bool) -> InstigatorState:
    """Return the state as Dagster would make it where none is stored yet."""
    location = GrpcServerCodeLocationOrigin(
        host="localhost",
        socket=str(code_server_socket(layout(settings))),
        location_name=location_name(settings),
    )
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), each.name)
    status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
    if isinstance(each, dg.ScheduleDefinition):
        schedule = ScheduleInstigatorData(each.cron_schedule, start_timestamp=time.time() if on else None)
        return InstigatorState(origin, InstigatorType.SCHEDULE, status, schedule)
    sensor = SensorInstigatorData(
        min_interval=each.minimum_interval_seconds,
        last_sensor_start_timestamp=time.time() if on else None,
        sensor_type=each.sensor_type,
    )
    return InstigatorState(origin, InstigatorType.SENSOR, status, sensor)
