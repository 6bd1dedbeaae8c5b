"""Everything that runs by itself: what it is, whether it is on, when it ran last and will run next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from millpond.automation.sensors import ChainSensor
from millpond.internals.dagster import schedule_execution_time_iterator
from millpond.internals.dagster_on_demand import InstigatorState, InstigatorStatus, InstigatorTick
from millpond.settings import Settings

_EVALUATIONS = 5
"""How many of the last evaluations of a condition are searched for one that asked for something."""

Instigator = dg.ScheduleDefinition | dg.SensorDefinition


@dataclass(frozen=True)
class Item:
    """A schedule, a sensor, or the condition of an asset; times are in UTC, None where there is none.

    `last` is the last tick, of a condition the last that asked for a run; `outcome` says what came of it.
    """

    name: str
    kind: Literal["schedule", "sensor", "condition"]
    state: Literal["on", "paused"]
    when: str
    last: dt.datetime | None = None
    outcome: str = ""
    next: dt.datetime | None = None
    about: str = ""


def overview(definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings) -> list[Item]:
    """Return what runs by itself; of the conditions those of raw tables first."""
    now = dt.datetime.now(dt.UTC)
    stored = {state.name: state for state in instance.all_instigator_state()}
    found = [_instigator(each, stored, instance, now) for each in instigators(definitions)]
    keep_up = next((each for each in found if each.name == _condition_sensor(definitions).name), None)
    if keep_up:
        found += _conditions(definitions, instance, settings, keep_up, now)
    return found


def instigators(definitions: dg.Definitions) -> list[Instigator]:
    """Return the schedules, then the sensors; also those that Dagster adds for automation conditions."""
    repository = definitions.get_repository_def()
    return [*repository.schedule_defs, *repository.sensor_defs]


def starts_runs(instigator: Instigator) -> bool:
    """Return whether it can start runs: a schedule, or a sensor with a target; other sensors only watch."""
    return isinstance(instigator, dg.ScheduleDefinition) or bool(
        instigator.targets or instigator.asset_selection
    )


def is_on(instigator: Instigator, stored: InstigatorState | None) -> bool:
    """Return whether it runs: as a person last said, else as the code says."""
    if stored and stored.status != InstigatorStatus.DECLARED_IN_CODE:
        return stored.status == InstigatorStatus.RUNNING
    return str(instigator.default_status.value) == "RUNNING"


def next_tick(cron: str, timezone: str, after: dt.datetime) -> dt.datetime:
    """Return the first tick of `cron` after a moment."""
    ticks = schedule_execution_time_iterator(after.timestamp() + 1e-3, cron, timezone)
    return next(ticks).astimezone(dt.UTC)


def _condition_sensor(definitions: dg.Definitions) -> ChainSensor:
    return next(each for each in definitions.sensors or () if isinstance(each, ChainSensor))


def _instigator(
    each: Instigator, stored: dict[str, InstigatorState], instance: dg.DagsterInstance, now: dt.datetime
) -> Item:
    state, on = stored.get(each.name), is_on(each, stored.get(each.name))
    last, outcome = None, ""
    if state and (ticks := instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)):
        last, outcome = dt.datetime.fromtimestamp(ticks[0].timestamp, dt.UTC), _outcome(ticks[0])
    following: dt.datetime | None
    if isinstance(each, dg.ScheduleDefinition):
        cron, zone = str(each.cron_schedule), each.execution_timezone or "UTC"
        when, following = f"{cron} in {zone}", next_tick(cron, zone, now)
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


def _outcome(tick: InstigatorTick) -> str:
    status, runs = tick.status.value.lower(), len(tick.run_ids)
    if runs:
        return f"{runs} run{'' if runs == 1 else 's'}"
    return "nothing to do" if status == "skipped" else status


def _conditions(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    sensor: Item,
    now: dt.datetime,
) -> Iterator[Item]:
    crons = {
        key: each.cron for c in _condition_sensor(definitions).chains for key, each in c.cadences.items()
    }
    specs = definitions.resolve_all_asset_specs()
    for spec in sorted(specs, key=lambda spec: (spec.key not in crons, spec.key.to_user_string())):
        if spec.automation_condition is None:
            continue
        cron = crons.get(spec.key)
        yield Item(
            name=spec.key.to_user_string(),
            kind="condition",
            state=sensor.state,
            when=spec.automation_condition.get_label() or spec.automation_condition.name,
            last=(asked := _last_requested(instance, spec.key)),
            outcome="asked for a run" if asked else "",
            next=next_tick(cron, settings.timezone, now) if cron and sensor.state == "on" else None,
        )


def _last_requested(instance: dg.DagsterInstance, key: dg.AssetKey) -> dt.datetime | None:
    storage = instance.schedule_storage
    assert storage is not None
    for record in storage.get_auto_materialize_asset_evaluations(key, limit=_EVALUATIONS):
        if record.get_evaluation_with_run_ids().evaluation.true_subset.size:
            return dt.datetime.fromtimestamp(record.timestamp, dt.UTC)
    return None
