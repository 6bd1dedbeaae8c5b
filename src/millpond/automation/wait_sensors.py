"""A sensor for each entry of waits.yaml, which launches runs or sends alerts."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import dagster as dg

from millpond import notices
from millpond.automation.requests import (
    build_run_request,
    default_sensor_status,
    get_asset_graph,
    keep_runnable,
)
from millpond.automation.waits import ExternalStatus, Wait, read_status
from millpond.errors import ConfigError
from millpond.partitions import Window, instant, latest_complete_day
from millpond.resources.run import JOB
from millpond.runtime.databases import databases
from millpond.settings import Settings, settings

LATE, FAILED = "external_late", "external_failed"
_SECONDS = 60


def build_wait_sensors(waits: Sequence[Wait]) -> list[dg.SensorDefinition]:
    """Return a sensor for each of `waits`."""
    return [_build_sensor(wait) for wait in waits]


def _build_sensor(wait: Wait) -> dg.SensorDefinition:
    @dg.sensor(
        name=wait.sensor,
        job_name=JOB,
        minimum_interval_seconds=_SECONDS,
        default_status=default_sensor_status(),
        description=f"Launches {wait.then} for each day that {wait.asset} is materialized for. Sends an"
        f" alert if that takes more than {wait.hours:g} h after the end of the day, or its run failed.",
    )
    def wait_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = _Tick(wait, context.cursor, settings())
        status = read_status(context.instance, wait.asset, tick.days, tick.zone)
        keys = _select_assets(context, wait)
        requests = [
            build_run_request(keys, Window.of_day(day), f"{wait.sensor}:{day}:{event}")
            for day, event in tick.find_new(status)
        ]
        words = tick.notify(status, dt.datetime.now(dt.UTC))
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=tick.cursor)
        return dg.SensorResult(skip_reason="\n".join(words), cursor=tick.cursor)

    return wait_sensor


def _select_assets(context: dg.SensorEvaluationContext, wait: Wait) -> set[dg.AssetKey]:
    try:
        graph = get_asset_graph(context)
        found = keep_runnable(graph, dg.AssetSelection.from_string(wait.then).resolve(graph))
    except dg.DagsterInvalidSubsetError:
        found = set()
    if not found:
        raise ConfigError(
            f"waits.yaml: then of {wait.name}, {wait.then!r}, selects no asset",
            next_step='select assets as for `millpond materialize`, for example then: "fct_orders*"',
        )
    return found


class _Tick:
    """One tick of the sensor; its cursor holds what was launched and reported, by day."""

    def __init__(self, wait: Wait, cursor: str | None, settings: Settings) -> None:
        self._wait, self.zone = wait, settings.zone
        last = latest_complete_day(self.zone)
        self.days = [last - dt.timedelta(days=n) for n in reversed(range(wait.days))]
        seen: dict[str, Any] = json.loads(cursor or "{}")
        self._launched: dict[str, int] = seen.get("launched", {})
        self._notified: dict[str, list[str]] = seen.get("told", {})

    @property
    def cursor(self) -> str:
        """The cursor for the next tick."""
        kept = {str(day) for day in self.days}
        launched = {day: event for day, event in self._launched.items() if day in kept}
        return json.dumps({"launched": launched, "told": self._notified}, sort_keys=True)

    def find_new(self, status: ExternalStatus) -> list[tuple[dt.date, int]]:
        """Return the days that were materialized since they were launched."""
        found = [(d, e) for d, e in sorted(status.made.items()) if e > self._launched.get(str(d), 0)]
        self._launched |= {str(day): event for day, event in found}
        return found

    def notify(self, status: ExternalStatus, now: dt.datetime) -> list[str]:
        """Write notices about late and failed days; returns a line about each day."""
        words, news, ended = [], [], []
        for day in self.days:
            due = self._wait.due(instant(day + dt.timedelta(days=1), self.zone))
            if run := status.failed.get(day):
                words.append(f"{day}: its latest run, {run}, failed")
                news.append((day, FAILED, run))
            elif day in status.made:
                words.append(f"{day}: materialized and launched")
                ended.append(str(day))
            elif now >= due:
                words.append(
                    f"{day}: not materialized; was due at {due.astimezone(self.zone):%Y-%m-%d %H:%M}"
                )
                news.append((day, LATE, ""))
            else:
                words.append(f"{day}: due by {due.astimezone(self.zone):%Y-%m-%d %H:%M}")
        self._write(news, [*ended, *sorted(self._notified.keys() - set(map(str, self.days)))])
        return words

    def _write(self, news: Sequence[tuple[dt.date, str, str]], ended: Sequence[str]) -> None:
        fresh = [each for each in news if f"{each[1]} {each[2]}" not in self._notified.get(str(each[0]), [])]
        over = [day for day in ended if day in self._notified]
        if not fresh and not over:
            return
        with databases().ops.connect() as connection:
            for day, kind, run in fresh:
                self._notify_one(connection, day, kind, run)
                self._notified.setdefault(str(day), []).append(f"{kind} {run}")
            for name in over:
                words = (
                    "It has arrived."
                    if dt.date.fromisoformat(name) in self.days
                    else "It is no longer waited for."
                )
                for kind in {each.split()[0] for each in self._notified.pop(name)}:
                    notices.over(connection, kind, f"{self._wait.name}:{name}", words)

    def _notify_one(self, connection: Any, day: dt.date, kind: str, run: str) -> None:
        wait = self._wait
        what = (
            f"its latest run, {run}, failed"
            if run
            else f"it was due {wait.hours:g} h after the end of the day"
        )
        notices.tell(
            connection,
            kind,
            f"{wait.name}:{day}",
            f"{wait.asset} {'failed' if run else 'is late'} for {day}, and {wait.then} waits for it",
            f"{wait.sensor}: {what}. Nothing was launched for the day.",
            partition=str(day),
            source=f"{wait.sensor}:{day}:{kind}:{run}",
        )
