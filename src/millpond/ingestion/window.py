"""What a spec says about time: when rows happened, how windows are asked for, how often, what is stale."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from millpond.errors import ConfigError
from millpond.ingestion.part import Part
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Templates
from millpond.ingestion.spec_rules import check_cron
from millpond.naming import identifier

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return value
    found = re.fullmatch(r"(\d+)([smhd])", str(value))
    if not found:
        raise ValueError("is no duration; give a number and s, m, h or d, for example 24h")
    return dt.timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"there is no time zone {name!r}; for example zone: UTC") from None
    return name


def _identifier(name: str) -> str:
    try:
        return identifier(name)
    except ConfigError as error:
        raise ValueError(f"{error.what}; {error.next_step}") from None


Identifier = Annotated[str, AfterValidator(_identifier)]
Duration = Annotated[dt.timedelta, BeforeValidator(_duration)]


def _check_retention(value: dt.timedelta) -> dt.timedelta:
    if value < dt.timedelta(days=31):  # lateness and look-back concern younger days
        raise ValueError("is shorter than 31 days; give it as a number of days, for example 400d")
    return value


Retention = Annotated[Duration, AfterValidator(_check_retention)]


class EventTime(Part):
    """The column that says when a row happened, hence to which day it belongs."""

    column: Identifier = Field(description="name of the column", examples=["column: date"])
    unit: Literal["ms", "s", "iso", "local", "date"] = Field(
        "iso",
        description="milliseconds or seconds since 1970; iso: ISO 8601 text or a time, UTC where it has no"
        " offset; local: the same, in the configured zone where it has no offset; date: the day itself",
        examples=["unit: ms"],
    )


class Reach(Part):
    """How far back a listing goes that knows no dates: whichever of the two comes first."""

    rows: int = Field(gt=0, description="rows it lists at most", examples=["rows: 300"])
    days: int = Field(gt=0, description="days it goes back at most", examples=["days: 90"])


class WindowSpec(Part):
    """How a run of days is asked for: by parameters, or by listing back from the newest row (`reach`)."""

    params: Templates | None = Field(
        None,
        min_length=1,
        description="parameters that request a time; either these, the same placeholders in `endpoint`, or"
        " `reach`",
        examples=['params: { since: "{start_iso}", until: "{end_iso}" }'],
    )
    reach: Reach | None = Field(
        None,
        description="the source has no time filter and lists its newest rows first: how far back it goes",
        examples=["reach: { rows: 300, days: 90 }"],
    )
    margin: Duration = Field(
        dt.timedelta(0),
        validate_default=True,
        description="how long before and after the time asked for the source adds rows, which are dropped",
        examples=["margin: 24h"],
    )
    zone: Annotated[str, AfterValidator(_zone)] | None = Field(
        None,
        description="time zone of the dates in requests, such as `{start_date}`; default: the configured one",
        examples=["zone: UTC"],
    )
    piece_days: int = Field(
        31, gt=0, description="days that one stream of requests covers", examples=["piece_days: 30"]
    )
    parallel: int = Field(4, gt=0, le=64, description="streams at a time", examples=["parallel: 4"])

    @model_validator(mode="after")
    def _not_both(self) -> WindowSpec:
        if self.params is not None and self.reach is not None:
            raise ValueError(
                "needs either params (the source filters by time) or reach (it only lists, newest first);"
                " for example reach: { rows: 300, days: 90 }"
            )
        for text in (self.params or {}).values():
            placeholders.check(text, placeholders.BOUNDS)
        return self


class Changes(Part):
    """The column that says when a row was changed last, by which changed rows are asked for."""

    column: Identifier = Field(description="name of the column", examples=["column: updated_at"])
    unit: Literal["ms", "s", "iso"] = Field(
        "iso",
        description="milliseconds or seconds since 1970, or ISO 8601 text or a time",
        examples=["unit: ms"],
    )
    lag: Duration = Field(
        dt.timedelta(0),
        validate_default=True,
        description="how long before the days asked for to begin, as changes become visible late",
        examples=["lag: 1h"],
    )


class Quarantine(Part):
    """When bad rows are too many, and when a row is too large to be looked at."""

    fail_above: float = Field(
        0.2,
        ge=0,
        le=1,
        strict=False,
        description="share of a day's rows that may break the contract",
        examples=["fail_above: 0.2"],
    )
    fail_at_least: int | None = Field(
        None,
        gt=0,
        description="bad rows below which a day never fails; default: 5, with fail_above 0 it is 1",
        examples=["fail_at_least: 5"],
    )
    max_row_bytes: int = Field(
        1_000_000, gt=0, description="a larger row is a bad one", examples=["max_row_bytes: 1000000"]
    )

    @property
    def least(self) -> int:
        """Bad rows from which on a day may fail."""
        return self.fail_at_least or (5 if self.fail_above else 1)


class Shrink(Part):
    """When a day that is loaded again with fewer rows is held back until somebody accepts it."""

    hold_below: float = Field(
        0.5,
        ge=0,
        le=1,
        strict=False,
        description="share of a day's most rows so far that must still be there; 0: the source may shrink",
        examples=["hold_below: 0.5"],
    )
    min_rows: int = Field(
        20,
        ge=0,
        description="rows below which a day may shrink, not vanish; what one load takes away counts together",
        examples=["min_rows: 20"],
    )


class Cadence(Part):
    """How often to load the day that has begun, and how many days to load again because rows come late."""

    cron: Annotated[str, AfterValidator(check_cron)] = Field(
        description="when the current day is loaded, in the configured zone", examples=['cron: "0 * * * *"']
    )
    lookback_days: int = Field(
        1,
        ge=0,
        le=366,
        description="days before yesterday that the daily run loads again",
        examples=["lookback_days: 2"],
    )
    weekend_lookback_days: int | None = Field(
        None,
        ge=0,
        le=366,
        description="the same on Saturdays and Sundays; default: lookback_days",
        examples=["weekend_lookback_days: 7"],
    )


class Freshness(Part):
    """Ages of the newest load from which on it is worth a warning, and a failure."""

    warn: Duration = Field(
        description="age of the newest load from which on the check warns", examples=["warn: 1h"]
    )
    fail: Duration = Field(description="age from which on it fails", examples=["fail: 24h"])

    @model_validator(mode="after")
    def _warn_comes_first(self) -> Freshness:
        if self.warn > self.fail:
            raise ValueError("warn must not be longer than fail; for example { warn: 1h, fail: 24h }")
        if self.warn < dt.timedelta(minutes=1):
            raise ValueError("warn must be a minute or longer; for example { warn: 1h, fail: 24h }")
        return self


class News(Part):
    """How a sensor asks whether there is something new: a small request now and then, newest rows first."""

    every: Duration = Field(
        dt.timedelta(minutes=5),
        validate_default=True,
        description="how often it checks",
        examples=["every: 5m"],
    )
    days: int = Field(
        2, gt=0, le=31, description="days up to today that are looked at, and loaded", examples=["days: 2"]
    )
    rows: int = Field(
        1, gt=0, le=1000, description="newest rows that are asked for (page.param)", examples=["rows: 1"]
    )
    params: Templates = Field(
        default_factory=dict,
        description="parameters that make the source list the newest rows first, if it does not by itself",
        examples=["params: { sort: desc }"],
    )

    @model_validator(mode="after")
    def _is_polite(self) -> News:
        if self.every < dt.timedelta(seconds=10):
            raise ValueError("every must be ten seconds or longer; for example every: 5m")
        for text in self.params.values():
            placeholders.check(text, placeholders.CONNECTION)
        return self


class Retries(Part):
    """How often a failed load is tried again, after waits that double, each cut at random (full jitter)."""

    max: int = Field(2, ge=0, le=20, description="how often a failed load is retried", examples=["max: 2"])
    delay: Duration = Field(
        dt.timedelta(seconds=5),
        validate_default=True,
        description="the first wait; each is twice as long as the previous one, with jitter",
        examples=["delay: 5s"],
    )
