"""What may be declared of a raw table: how it is asked for, its columns, and what its rows must satisfy."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from millpond.ingestion.columns import Column, OnBad, Rounding
from millpond.ingestion.expectations import Checks
from millpond.ingestion.files.spec import FileSet
from millpond.ingestion.part import Part
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.endpoint import Endpoint, Page
from millpond.ingestion.spec_rules import check_condition, check_names, check_unit
from millpond.ingestion.sql.spec import SqlTable
from millpond.ingestion.window import (
    Cadence,
    Changes,
    EventTime,
    Freshness,
    Identifier,
    News,
    Quarantine,
    Retention,
    Retries,
    Shrink,
    WindowSpec,
)
from millpond.naming import LINEAGE_COLUMNS
from millpond.partitions import Window

KINDS: Final = {"rest": "endpoint", "files": "files", "sql": "sql"}
"""The kinds of sources, and what a table of each declares."""


class SourceTable(Part):
    """A raw table: the requests that fill it, its columns, and what its rows must satisfy."""

    name: Identifier = Field(examples=["name: glucose_entries"])
    description: str = Field("", examples=["description: Readings as uploaded"])
    owner: str | None = Field(None, pattern=r"^(team:\S+|[^@\s]+@[^@\s]+)$", examples=["owner: team:health"])
    group: Identifier = Field("raw", examples=["group: raw"])
    kinds: tuple[str, ...] = Field(
        ("dlt", "iceberg"), strict=False, max_length=3, examples=["kinds: [dlt, iceberg]"]
    )
    tags: dict[str, str] = Field(default_factory=dict, examples=["tags: { domain: glucose }"])
    key: tuple[Identifier, ...] = Field(min_length=1, strict=False, examples=["key: [_id]"])
    version: Identifier | None = Field(
        None,
        description="column by which the later of two rows with one key is known",
        examples=["version: sys_time"],
    )
    event_time: EventTime | None = Field(
        None,
        description="when a row happened, hence its day; needed unless load is whole",
        examples=["event_time: { column: date, unit: ms }"],
    )
    load: Literal["days", "changes", "whole"] = Field(
        "days",
        description="what is asked for: the rows of days, those that changed on days, or all of them, which"
        " makes a table without days",
        examples=["load: whole"],
    )
    changes: Changes | None = Field(
        None,
        description="needed where load is changes",
        examples=["changes: { column: updated_at, lag: 1h }"],
    )
    write: Literal["replace", "upsert", "append"] | None = Field(
        None,
        description="what becomes of the rows that are there: replaced (of the days asked for, or all), kept"
        " unless a row with their key came (upsert), or always kept (append: keys that are there are"
        " duplicates); default: replace, and upsert where load is changes",
        examples=["write: upsert"],
    )
    endpoint: Endpoint | None = Field(
        None,
        description="in a source with rest: what is requested",
        examples=["endpoint: { path: api/v1/entries.json }"],
    )
    files: FileSet | None = Field(
        None,
        description="in a source with files: which files are read",
        examples=['files: { path: "sales_{date}.csv" }'],
    )
    sql: SqlTable | None = Field(
        None, description="in a source with sql: the table that is read", examples=["sql: { table: orders }"]
    )
    resource: Any = Field(
        None,
        description="in a Python file: a dlt resource, or a function that yields rows or Arrow tables",
        examples=["resource=orders"],
    )
    page: Page | None = Field(None, examples=["page: { param: count, size: 1000 }"])
    window: WindowSpec = Field(
        default_factory=WindowSpec, examples=["window: { reach: { rows: 300, days: 90 } }"]
    )
    columns: dict[Identifier, Column] = Field(min_length=1, examples=["columns: { id: { type: string } }"])
    unknown_columns: Literal["add", "ignore", "freeze", "quarantine"] = Field(
        "add",
        description="fields that columns does not name: add each as a column, ignore them, freeze (the days"
        " whose rows have such fields are not loaded), or quarantine the rows that have a value in one",
        examples=["unknown_columns: add"],
    )
    allow_empty: bool = Field(
        True,
        description="whether a day may have no rows; of files, only if true is written out",
        examples=["allow_empty: true"],
    )
    quarantine: Quarantine = Field(default_factory=Quarantine, examples=["quarantine: { fail_above: 0.2 }"])
    retention: Retention | None = Field(
        None,
        description="how long days are kept: older ones are removed at night, and not loaded",
        examples=["retention: 400d"],
    )
    shrink: Shrink = Field(default_factory=Shrink, examples=["shrink: { hold_below: 0.5, min_rows: 20 }"])
    cadence: Cadence | None = Field(None, examples=['cadence: { cron: "0 * * * *", lookback_days: 2 }'])
    news: News | None = Field(
        None,
        description="a sensor that looks for new rows, or for new and changed files, and loads their days;"
        " without it there is none",
        examples=["news: { every: 5m, days: 2 }"],
    )
    freshness: Freshness | None = Field(None, examples=["freshness: { warn: 1h, fail: 24h }"])
    checks: Checks = Field(default_factory=Checks, examples=["checks: { rows_per_day: 288 }"])
    pool: str | None = Field(None, pattern=r"^[A-Za-z0-9_]+$", examples=["pool: nightscout_api"])
    retries: Retries = Field(default_factory=Retries, examples=["retries: { max: 2, delay: 5s }"])

    @field_validator("columns")
    @classmethod
    def _names_are_distinct(cls, columns: dict[str, Column]) -> dict[str, Column]:
        check_names(columns)
        for name in columns:
            if name in LINEAGE_COLUMNS or name.startswith("__"):
                raise ValueError(
                    f"column {name} is a name that Millpond uses itself; choose another and set field"
                )
        return columns

    @model_validator(mode="after")
    def _parts_fit_together(self) -> SourceTable:
        for role, name in self._roles():
            self._check_role(role, name)
        self._check_axes()
        if self.event_time:
            check_unit(self.event_time.unit, self.columns[self.event_time.column].type)
        for name, column in self.columns.items():
            if column.required_when:
                check_condition("required_when", name, column.required_when, self.columns)
            if isinstance(column.optional, str):
                check_condition("optional", name, column.optional, self.columns)
        if self.endpoint:
            self.endpoint.check_fit(self.page, self.window.params)
        newest_first = self.window.reach or (self.endpoint and self.endpoint.paginator.type == "newest_first")
        if self.news and not newest_first and not self.news.params and not self.files:
            raise ValueError(
                "news needs a source that lists the newest rows first; give it parameters to that end,"
                " for example news: { params: { sort: desc } }"
            )
        return self

    def _roles(self) -> list[tuple[str, str]]:
        found = [("key", name) for name in self.key]
        found += [("event_time", self.event_time.column)] if self.event_time else []
        found += [("version", self.version)] if self.version else []
        return found + ([("changes", self.changes.column)] if self.changes else [])

    def _check_role(self, role: str, name: str) -> None:
        if name not in self.columns:
            raise ValueError(f"{role} names the column {name}, which columns does not declare")
        if self.columns[name].no_value:
            raise ValueError(f"the column {name} is the {role}: it cannot have codes that mean no value")
        if role in {"version", "changes"}:
            return
        if self.columns[name].optional:
            raise ValueError(f"the column {name} is the {role}: it cannot be optional")
        if self.columns[name].on_bad == "null":
            raise ValueError(f"the column {name} is the {role}: a bad value of it cannot become null")

    def _check_axes(self) -> None:
        if self.retention and not self.has_days:
            raise ValueError("retention removes days, which a table that is loaded whole does not have")
        if (self.event_time is None) != (self.load == "whole"):
            raise ValueError(
                "event_time says which day a row belongs to, and load: whole makes a table without days;"
                " give one of them, for example event_time: { column: created_at }"
            )
        if (self.changes is None) != (self.load != "changes"):
            raise ValueError(
                "load: changes needs the column that says when a row changed;"
                " for example changes: { column: updated_at }"
            )
        if self.load == "changes" and self.write == "replace":
            raise ValueError(
                "rows that changed cannot replace a day, whose other rows would be lost;"
                " for example write: upsert"
            )
        if self.load == "whole" and self.writes != "replace":
            raise ValueError(
                f"a table that is loaded whole is replaced, not written by {self.write}, which needs days;"
                " for example write: replace"
            )

    @property
    def writes(self) -> str:
        """What becomes of the rows that are there: replace, upsert or append."""
        return self.write or ("upsert" if self.load == "changes" else "replace")

    @property
    def event(self) -> EventTime:
        """When a row happened, of a table with days."""
        assert self.event_time
        return self.event_time

    @property
    def http(self) -> Endpoint:
        """What is requested, of a source with `rest`."""
        assert self.endpoint
        return self.endpoint

    @property
    def contract_version(self) -> str:
        """A hash of what decides what becomes of a row, as Dagster's code version of the asset.

        Descriptions and defaults are left out: neither a new text nor a new release makes days stale.
        """
        parts = {"key", "version", "event_time", "load", "write", "columns", "unknown_columns"}
        found = self.model_dump(mode="json", include=parts, exclude_defaults=True)
        for column in found["columns"].values():
            column.pop("description", None)
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def bounds(self) -> dict[str, str]:
        """What requests a time: the templates with such placeholders, by the name of parameter or field."""
        given = [*(self.endpoint.templates() if self.endpoint else ()), *(self.window.params or {}).items()]
        return {
            name: text for name, text in given if any(map(placeholders.is_bound, placeholders.names(text)))
        }

    @property
    def parent(self) -> str | None:
        """The table below whose rows the rows of this one are; None if there is none."""
        texts = [text for _, text in self.endpoint.templates()] if self.endpoint else []
        used = (placeholders.RESOURCE.fullmatch(name) for text in texts for name in placeholders.names(text))
        return next((found[1] for found in used if found), None)

    @property
    def asked_time(self) -> EventTime | Changes | None:
        """The column of the time that rows are asked for by; None where all of them are."""
        return self.changes or self.event_time

    @property
    def has_days(self) -> bool:
        """Whether rows belong to days, which are partitions; else the table is loaded whole."""
        return self.load != "whole"

    def ask(self, window: Window, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
        """Return the half-open time that a load of `window` asks for, in UTC: with the lag of changes."""
        start, end = window.bounds(zone)
        return (start - self.changes.lag if self.changes else start), end

    def describe(self, days: object) -> str:
        """Return what an error is about: the asset and, where it has such, its days."""
        return f"{self.asset}, {days}" if self.has_days else self.asset

    @property
    def identifying(self) -> set[str]:
        """The columns without which a row is none: its key and its time."""
        return {*self.key, *([self.event_time.column] if self.event_time else [])}

    def on_bad(self, name: str) -> OnBad:
        """Return what a bad value of the column called `name` leads to."""
        column = self.columns[name]
        if column.on_bad:
            return column.on_bad
        needed = column.required or column.required_when is not None
        return "quarantine" if needed or name in {*self.identifying, self.version} else "null"

    def rounding(self, name: str) -> Rounding | None:
        """Return how an integer column called `name` takes a number with a fraction; None: as a bad value."""
        column, event = self.columns[name], self.event_time
        is_epoch = (
            column.type == "int" and event is not None and name == event.column and event.unit in {"ms", "s"}
        )
        return column.round or ("down" if is_epoch else None)

    @property
    def asset(self) -> str:
        """Name of the asset that loads this table."""
        return f"dlt_{self.name}"

    @property
    def raw_table(self) -> str:
        """Name of the lake's table with the good rows."""
        return f"raw.{self.name}"

    @property
    def quarantine_table(self) -> str:
        """Name of the lake's table with the rows that broke the contract."""
        return f"quarantine.{self.name}"
