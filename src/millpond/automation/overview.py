"""Lists schedules, sensors and conditions: whether they are on, when they last ran and run next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import dagster as dg
from sqlalchemy import text

from millpond.automation.sensors import ChainSensor
from millpond.internals.dagster import schedule_execution_time_iterator
from millpond.internals.dagster_on_demand import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    SqlScheduleStorage,
)
from millpond.settings import Settings

_LAST_REQUESTS: Final = text(
    "SELECT asset_key, max(create_timestamp) FROM asset_daemon_asset_evaluations"
    " WHERE num_requested > 0 GROUP BY asset_key"
)
"""Read in the database: an evaluation of a chain is a tree of its whole history, and each asset has many."""
Instigator = dg.ScheduleDefinition | dg.SensorDefinition


@dataclass(frozen=True)
class Item:
    """A schedule, a sensor, or the condition of an asset; times are in UTC.

    `last` is the last tick, for a condition the last evaluation that requested a run; `outcome` is its
    result.
    """

    name: str
    kind: Literal["schedule", "sensor", "condition"]
    state: Literal["on", "paused"]
    when: str
    last: dt.datetime | None = None
    outcome: str = ""
    next: dt.datetime | None = None
    about: str = ""


def list_automation(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings
) -> list[Item]:
    """Return schedules, sensors, then conditions, beginning with those of raw tables."""
    now = dt.datetime.now(dt.UTC)
    stored = {state.name: state for state in instance.all_instigator_state()}
    found = [_describe_instigator(each, stored, instance, now) for each in list_instigators(definitions)]
    keep_up = next((each for each in found if each.name == _find_condition_sensor(definitions).name), None)
    if keep_up:
        found += _describe_conditions(definitions, instance, settings, keep_up, now)
    return found


def list_instigators(definitions: dg.Definitions) -> list[Instigator]:
    """Return the schedules, then the sensors, including Dagster's own for automation conditions."""
    repository = definitions.get_repository_def()
    return [*repository.schedule_defs, *repository.sensor_defs]


def starts_runs(instigator: Instigator) -> bool:
    """Return whether it can start runs: a schedule, or a sensor with a target."""
    return isinstance(instigator, dg.ScheduleDefinition) or bool(
        instigator.targets or instigator.asset_selection
    )


def is_on(instigator: Instigator, stored: InstigatorState | None) -> bool:
    """Return whether it is on: as last switched by hand, else as declared in code."""
    if stored and stored.status != InstigatorStatus.DECLARED_IN_CODE:
        return stored.status == InstigatorStatus.RUNNING
    return str(instigator.default_status.value) == "RUNNING"


def find_next_tick(cron: str, timezone: str, after: dt.datetime) -> dt.datetime:
    """Return the first tick of `cron` after the moment `after`."""
    ticks = schedule_execution_time_iterator(after.timestamp() + 1e-3, cron, timezone)
    return next(ticks).astimezone(dt.UTC)


def _find_condition_sensor(definitions: dg.Definitions) -> ChainSensor:
    return next(each for each in definitions.sensors or () if isinstance(each, ChainSensor))


def _describe_instigator(
    each: Instigator, stored: dict[str, InstigatorState], instance: dg.DagsterInstance, now: dt.datetime
) -> Item:
    state, on = stored.get(each.name), is_on(each, stored.get(each.name))
    last, outcome = None, ""
    if state and (ticks := instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)):
        last, outcome = dt.datetime.fromtimestamp(ticks[0].timestamp, dt.UTC), _describe_outcome(ticks[0])
    following: dt.datetime | None
    if isinstance(each, dg.ScheduleDefinition):
        cron, zone = str(each.cron_schedule), each.execution_timezone or "UTC"
        when, following = f"{cron} in {zone}", find_next_tick(cron, zone, now)
    else:
        seconds = each.minimum_interval_seconds or 30
        when, following = f"every {seconds} s", max(now, (last or now) + dt.timedelta(seconds=seconds))
    return Item(
        name=each.name,
        kind="schedule" if isinstance(each, dg.ScheduleDefinition) else "sensor",
        state="on" if on else "paused",
        when=when,
        last=last,
        outcome=outcome,
        next=following if on else None,
        about=each.description or "",
    )


def _describe_outcome(tick: InstigatorTick) -> str:
    status, runs = tick.status.value.lower(), len(tick.run_ids)
    if runs:
        return f"{runs} run{'' if runs == 1 else 's'}"
    return "nothing to do" if status == "skipped" else status


def _describe_conditions(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    sensor: Item,
    now: dt.datetime,
) -> Iterator[Item]:
    crons = {
        key: each.cron for c in _find_condition_sensor(definitions).chains for key, each in c.cadences.items()
    }
    specs, requests = definitions.resolve_all_asset_specs(), _find_last_requests(instance)
    for spec in sorted(specs, key=lambda spec: (spec.key not in crons, spec.key.to_user_string())):
        if spec.automation_condition is None:
            continue
        cron = crons.get(spec.key)
        yield Item(
            name=spec.key.to_user_string(),
            kind="condition",
            state=sensor.state,
            when=spec.automation_condition.get_label() or spec.automation_condition.name,
            last=(asked := requests.get(spec.key)),
            outcome="requested a run" if asked else "",
            next=find_next_tick(cron, settings.timezone, now) if cron and sensor.state == "on" else None,
        )


def _find_last_requests(instance: dg.DagsterInstance) -> dict[dg.AssetKey, dt.datetime]:
    """Return when a condition last requested a run, by asset."""
    storage = instance.schedule_storage
    assert isinstance(storage, SqlScheduleStorage)
    with storage.connect() as connection:
        found = connection.execute(_LAST_REQUESTS).all()
    keys = ((dg.AssetKey.from_db_string(name), moment) for name, moment in found)
    return {key: moment.replace(tzinfo=dt.UTC) for key, moment in keys if key}
