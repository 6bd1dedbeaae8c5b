"""Shows what would run at a given time, and why, without running anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from millpond.automation.overview import find_next_tick, list_instigators
from millpond.automation.requests import CHAIN_TAG, merge_by_chain
from millpond.automation.sensors import ChainSensor
from millpond.partitions import Window, parse_day
from millpond.resources.run import partition_tags, window_of
from millpond.settings import Settings

_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class PlannedRun:
    """A run that would start or, without `assets` and `job`, the reason why none would."""

    by: str
    why: str
    assets: tuple[str, ...] = ()
    days: str = ""
    job: str = ""


def preview(
    definitions: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, at: dt.datetime
) -> list[PlannedRun]:
    """Return what each schedule would start at `at`, and what the conditions would request in that minute.

    They are evaluated on what is recorded now. A schedule without a tick in that minute reports its next
    tick.
    """
    found: list[PlannedRun] = []
    for each in list_instigators(definitions):
        if isinstance(each, dg.ScheduleDefinition):
            found += _preview_schedule(each, definitions, instance, settings, at)
        elif isinstance(each, ChainSensor):
            found += _preview_conditions(each, definitions, instance, settings, at)
    return found


def _preview_schedule(
    schedule: dg.ScheduleDefinition,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    at: dt.datetime,
) -> Iterator[PlannedRun]:
    cron, zone = str(schedule.cron_schedule), schedule.execution_timezone or "UTC"
    tick = find_next_tick(cron, zone, at - _SECOND)
    if tick != at:
        yield PlannedRun(schedule.name, f"no tick; its next is {_to_local(tick, settings)}")
        return
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at.astimezone(settings.zone),
        repository_def=definitions.get_repository_def(),
    )
    with context:
        ticked = schedule.evaluate_tick(context)
    if ticked.skip_message:
        yield PlannedRun(schedule.name, ticked.skip_message)
    for request in ticked.run_requests or ():
        if request.asset_selection:
            yield _plan_run(
                schedule.name, "completes yesterday and reloads days that may have late data", request
            )
        else:
            yield PlannedRun(schedule.name, schedule.description or "", job=schedule.job_name)


def _preview_conditions(
    sensor: ChainSensor,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    at: dt.datetime,
) -> Iterator[PlannedRun]:
    before = dg.evaluate_automation_conditions(definitions, instance, evaluation_time=at - _SECOND)
    then = dg.evaluate_automation_conditions(
        definitions, instance, evaluation_time=at + _SECOND, cursor=before.cursor
    )
    requests = []
    for result in then.results:
        key = result.key
        assert isinstance(key, dg.AssetKey)
        if asked := then.get_requested_partitions(key):
            days = [parse_day(day) for day in asked if day is not None]
            tags = partition_tags(Window.of_days(min(days), max(days))) if days else {}
            requests.append(dg.RunRequest(asset_selection=[key], tags=tags))
    for request in merge_by_chain(requests, sensor.chains):
        chain = next(each for each in sensor.chains if each.name == request.tags[CHAIN_TAG])
        due = [key for key in chain.cadences if key in (request.asset_selection or ())]
        why = " and ".join(f"{key.to_user_string()} is due at {chain.cadences[key].cron}" for key in due)
        yield _plan_run(sensor.name, f"{why}; the rest follows" if why else "an input changed", request)
    if not requests:
        ticks = [
            find_next_tick(c.cron, settings.timezone, at)
            for ch in sensor.chains
            for c in ch.cadences.values()
        ]
        soon = f"; the next load is due {_to_local(min(ticks), settings)}" if ticks else ""
        yield PlannedRun(sensor.name, f"no load is due{soon}")


def _plan_run(by: str, why: str, request: dg.RunRequest) -> PlannedRun:
    names = tuple(key.to_user_string() for key in request.asset_selection or ())
    window = window_of(request.tags)
    return PlannedRun(by, why, names, str(window) if window else "")


def _to_local(moment: dt.datetime, settings: Settings) -> str:
    return f"{moment.astimezone(settings.zone):%Y-%m-%d %H:%M}"
