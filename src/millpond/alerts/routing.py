"""Who is told what: alerts.yaml, read and applied."""

from __future__ import annotations

import datetime as dt
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from millpond.alerts.alert import Alert
from millpond.alerts.kinds import KINDS, Severity
from millpond.errors import ConfigError
from millpond.settings import Settings

CHANNELS = ("log", "slack", "email", "pagerduty", "jira", "webhook", "apprise")


def _channels(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in CHANNELS:
            raise ValueError(f"{name} is no channel; there are {', '.join(CHANNELS)}")
    return names


def _any(have: Any, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(each, pattern) for each in have for pattern in patterns)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Which alerts a route is for; what is not named fits."""

    kind: tuple[str, ...] = ()
    severity: tuple[Severity, ...] = ()
    asset: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    between: str | None = Field(None, pattern=r"^[0-2]\d:[0-5]\d-[0-2]\d:[0-5]\d$")

    @field_validator("kind", "severity", "asset", "owner", "tag", mode="before")
    @classmethod
    def _many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("kind")
    @classmethod
    def _known(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not _any(KINDS, (pattern,)):
                raise ValueError(f"{pattern} fits no kind of alert; there are {', '.join(KINDS)}")
        return patterns

    def fits(self, alert: Alert, now: dt.time) -> bool:
        """Return whether `alert` is meant at this time of day."""
        asked = (
            (self.kind, (alert.kind,)),
            (self.severity, (alert.severity,)),
            (self.asset, alert.assets),
            (self.owner, alert.owners),
            (self.tag, alert.tags),
        )
        return _within(self.between, now) and all(_any(have, want) for want, have in asked if want)


class Route(_Part):
    """Channels for the alerts that fit."""

    match: Match = Match()
    to: tuple[str, ...]
    continue_: bool = Field(False, alias="continue")

    @field_validator("to")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _channels(names)


class Routing(_Part):
    """All of alerts.yaml; its comments say what each key means."""

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

    @field_validator("fallback")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _channels(names)

    def channels(self, alert: Alert, now: dt.datetime) -> list[str]:
        """Return the channels for `alert`, the log first; `now` is in the configured zone."""
        found = ["log"]
        for route in self.routes:
            if route.match.fits(alert, now.time()):
                found += route.to
                if not route.continue_:
                    break
        return list(dict.fromkeys(found))


def read_routing(settings: Settings) -> Routing:
    """Return what alerts.yaml says; without the file, every alert goes to every channel that is set up.

    Raises ConfigError, naming the place, if it cannot be understood.
    """
    path = settings.project / settings.alerts_file.expanduser()
    if not path.exists():
        return Routing()
    try:
        return Routing.model_validate(yaml.safe_load(path.read_text()) or {})
    except yaml.YAMLError as error:
        raise _refused(path, str(error)) from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise _refused(path, f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None


def _refused(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path}: {reason}",
        unharmed="alerts are kept, and sent once this is corrected",
        next_step="the comments in the file say what may stand there",
    )


def _within(span: str | None, now: dt.time) -> bool:
    if span is None:
        return True
    start, end = (dt.time.fromisoformat(part) for part in span.split("-"))
    return start <= now < end if start <= end else now >= start or now < end
