"""What a spec may say of the checks that every raw table gets: which of them, and their thresholds."""

from __future__ import annotations

import datetime as dt

from pydantic import Field, model_validator

from millpond.ingestion.part import Part
from millpond.ingestion.window import Duration


class Volume(Part):
    """Bounds on a day's rows, as shares of the median of the days before it."""

    history_days: int = Field(
        28, ge=1, le=366, description="days before it that are looked at", examples=["history_days: 28"]
    )
    min_days: int = Field(
        7,
        ge=1,
        description="days with rows among them, below which nothing is judged",
        examples=["min_days: 7"],
    )
    at_least: float = Field(
        0.5,
        ge=0,
        strict=False,
        description="smallest share of the median that is usual",
        examples=["at_least: 0.5"],
    )
    at_most: float | None = Field(
        2.0,
        gt=0,
        strict=False,
        description="largest share of the median that is usual; null for no bound",
        examples=["at_most: 2"],
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> Volume:
        if self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is above at_most; for example { at_least: 0.5, at_most: 2 }")
        if self.min_days > self.history_days:
            raise ValueError("min_days is above history_days; for example { history_days: 28, min_days: 7 }")
        return self


class Checks(Part):
    """The checks of a raw table; `reconciliation` and those of required columns are always there."""

    volume: Volume | None = Field(
        default_factory=Volume,
        description="rows of a day against the days before it; null for no such check",
        examples=["volume: { history_days: 28, at_least: 0.5, at_most: 2 }"],
    )
    rows_per_day: int | None = Field(
        None,
        gt=0,
        description="rows of a day without gaps, by which coverage is reported",
        examples=["rows_per_day: 288"],
    )
    latest_within: Duration = Field(
        dt.timedelta(hours=2),
        validate_default=True,
        description="time after the end of a day at which it must be loaded",
        examples=["latest_within: 2h"],
    )
