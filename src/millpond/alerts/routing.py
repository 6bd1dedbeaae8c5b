"""Reads alerts.yaml, and makes deliveries for new and resolved alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from millpond.alerts.alert import Alert, alert_from_row
from millpond.alerts.kinds import KINDS, Severity
from millpond.alerts.outbox import Connection
from millpond.errors import ConfigError
from millpond.settings import Settings
from millpond.yaml_text import load_yaml

CHANNELS = ("log", "slack", "email", "pagerduty", "jira", "webhook", "apprise")


def _check_channels(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in CHANNELS:
            raise ValueError(f"{name} is not a channel; use one of {', '.join(CHANNELS)}")
    return names


def _match_any(have: Any, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(each, pattern) for each in have for pattern in patterns)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Which alerts a route is for; a key that is left out matches every alert."""

    kind: tuple[str, ...] = ()
    severity: tuple[Severity, ...] = ()
    asset: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    between: str | None = Field(None, pattern=r"^[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d$")

    @field_validator("kind", "severity", "asset", "owner", "tag", mode="before")
    @classmethod
    def _wrap_single(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("kind")
    @classmethod
    def _check_names(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not _match_any(KINDS, (pattern,)):
                raise ValueError(f"{pattern} matches no kind of alert; there are {', '.join(KINDS)}")
        return patterns

    def matches(self, alert: Alert, now: dt.time) -> bool:
        """Return whether `alert` matches at this time of day."""
        asked = (
            (self.kind, (alert.kind,)),
            (self.severity, (alert.severity,)),
            (self.asset, alert.assets),
            (self.owner, alert.owners),
            (self.tag, alert.tags),
        )
        return _is_within(self.between, now) and all(_match_any(have, want) for want, have in asked if want)


class Route(_Part):
    """Channels for the alerts that match."""

    match: Match = Match()
    to: tuple[str, ...]
    continue_: bool = Field(False, alias="continue")

    @field_validator("to")
    @classmethod
    def _check_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _check_channels(names)


class Routing(_Part):
    """The content of alerts.yaml; the comments of the file describe each key."""

    routes: tuple[Route, ...] = (Route(to=CHANNELS[1:]),)
    fallback: tuple[str, ...] = ()
    fallback_after: dict[Severity, int] = Field(default_factory=dict)
    group_from: int = Field(4, ge=2)
    messages_a_minute: float = Field(6, gt=0)
    messages_at_once: int = Field(3, ge=1)
    first_pause_seconds: float = Field(2, gt=0)
    longest_pause_seconds: float = Field(900, gt=0)
    give_up_after_days: float = Field(7, gt=0)
    quarantine_above: float = Field(0.01, ge=0, le=1)
    late_after_days: int = Field(1, ge=0, le=31)
    published_by: str | None = Field(None, pattern=r"^[0-2]\d:[0-5]\d$")
    summary_at: str | None = Field(None, pattern=r"^[0-2]\d:[0-5]\d$")
    summary_report: bool = False

    @field_validator("fallback")
    @classmethod
    def _check_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _check_channels(names)

    def channels(self, alert: Alert, now: dt.datetime) -> list[str]:
        """Return the channels for `alert`, the log first; `now` is in the configured zone."""
        found = ["log"]
        for route in self.routes:
            if route.match.matches(alert, now.time()):
                found += route.to
                if not route.continue_:
                    break
        return list(dict.fromkeys(found))


def read_routing(settings: Settings) -> Routing:
    """Return the content of alerts.yaml; without the file, every alert goes to every channel that is set up.

    Raises ConfigError, naming the key, if it is invalid.
    """
    path = settings.project / settings.alerts_file.expanduser()
    if not path.exists():
        return Routing()
    try:
        return Routing.model_validate(load_yaml(path.read_text()) or {})
    except yaml.YAMLError as error:
        raise _invalid_file_error(path, str(error)) from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise _invalid_file_error(path, f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None


def _invalid_file_error(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path}: {reason}",
        unharmed="all alerts: they are sent once this is fixed",
        next_step="fix it; the comments in the file describe each key",
    )


def _is_within(span: str | None, now: dt.time) -> bool:
    if span is None:
        return True
    start, end = (dt.time.fromisoformat(part) for part in span.split("-"))
    return start <= now < end if start <= end else now >= start or now < end


_AT_ONCE = 1000
_URGENT = ("error", "critical")


def route(connection: Connection, routing: Routing, available: Collection[str], now: dt.datetime) -> int:
    """Make deliveries for up to 1000 new and 1000 resolved alerts; returns for how many.

    `available` are the channels that are set up; `now` is in the configured zone.
    """
    with connection.transaction():
        return _route_new(connection, routing, available, now) + _route_ended(connection)


def _route_new(connection: Connection, routing: Routing, available: Collection[str], now: dt.datetime) -> int:
    rows = connection.execute(
        "select * from alerts where routed_at is null order by id limit %s for update skip locked",
        (_AT_ONCE,),
    ).fetchall()
    if not rows:
        return 0
    silences = connection.execute("select pattern, until from alert_silences where until > now()").fetchall()
    deliveries = []
    for alert in map(alert_from_row, rows):
        until = max((s["until"] for s in silences if matches_silence(alert, s["pattern"])), default=None)
        for channel in _choose_channels(alert, routing, available, now):
            hold = until if channel != "log" else None
            deliveries.append((alert.id, channel, "silenced" if hold else "pending", hold))
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into alert_deliveries (alert, action, channel, state, next_attempt)"
            " values (%s, 'tell', %s, %s, coalesce(%s, clock_timestamp())) on conflict do nothing",
            deliveries,
        )
    connection.execute(
        "update alerts set routed_at = clock_timestamp() where id = any(%s)", ([row["id"] for row in rows],)
    )
    return len(rows)


def _choose_channels(
    alert: Alert, routing: Routing, available: Collection[str], now: dt.datetime
) -> list[str]:
    """Return the channels for an alert; an urgent one that only the log would get goes to the fallback."""
    found = [name for name in routing.channels(alert, now) if name in available]
    if found == ["log"] and alert.severity in _URGENT:
        found += [name for name in routing.fallback if name in available]
    return list(dict.fromkeys(found))


def _route_ended(connection: Connection) -> int:
    rows = connection.execute(
        "select id from alerts where resolved_at is not null and end_routed_at is null and routed_at is not"
        " null order by id limit %s for update skip locked",
        (_AT_ONCE,),
    ).fetchall()
    ids = [row["id"] for row in rows]
    if ids:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel)"
            " select alert, 'resolve', channel from alert_deliveries"
            " where alert = any(%s) and action = 'tell' and state not in ('silenced', 'abandoned')"
            " order by id on conflict do nothing",
            (ids,),
        )
        connection.execute("update alerts set end_routed_at = clock_timestamp() where id = any(%s)", (ids,))
    return len(ids)


def end_silences(connection: Connection) -> None:
    """Make due the alerts whose silence has ended and that are still open."""
    connection.execute(
        "update alert_deliveries d set state = 'pending' from alerts a"
        " where a.id = d.alert and d.state = 'silenced' and d.next_attempt <= now() and a.resolved_at is null"
    )


def matches_silence(alert: Alert, pattern: str) -> bool:
    """Return whether `pattern` matches this alert: its kind, an asset, an owner or its key."""
    names = (alert.kind, *alert.assets, *alert.owners, alert.dedup_key)
    return any(fnmatchcase(name, pattern) for name in names)
