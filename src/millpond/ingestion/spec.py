"""What may be declared of a source in `sources/`: its client, its tables, their windows and row contracts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from millpond.ingestion.columns import Column, OnBad, Rounding
from millpond.ingestion.expectations import Checks
from millpond.ingestion.part import Part
from millpond.ingestion.rest.endpoint import Endpoint, Page, Rest
from millpond.ingestion.spec_rules import check_condition, check_names
from millpond.ingestion.window import (
    Cadence,
    EventTime,
    Freshness,
    Identifier,
    News,
    Quarantine,
    Retries,
    Shrink,
    WindowSpec,
)
from millpond.naming import LINEAGE_COLUMNS


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
    event_time: EventTime = Field(examples=["event_time: { column: date, unit: ms }"])
    endpoint: Endpoint = Field(examples=["endpoint: { path: api/v1/entries.json }"])
    page: Page | None = Field(None, examples=["page: { param: count, size: 1000 }"])
    window: WindowSpec = Field(examples=["window: { reach: { rows: 300, days: 90 } }"])
    columns: dict[Identifier, Column] = Field(min_length=1, examples=["columns: { id: { type: string } }"])
    unknown_columns: Literal["add", "ignore"] = Field(
        "add",
        description="fields that columns does not name: add each as a text column, or ignore them",
        examples=["unknown_columns: add"],
    )
    allow_empty: bool = Field(
        True, description="whether a day may have no rows", examples=["allow_empty: true"]
    )
    quarantine: Quarantine = Field(default_factory=Quarantine, examples=["quarantine: { fail_above: 0.2 }"])
    shrink: Shrink = Field(default_factory=Shrink, examples=["shrink: { hold_below: 0.5, min_rows: 20 }"])
    cadence: Cadence | None = Field(None, examples=['cadence: { cron: "0 * * * *", lookback_days: 2 }'])
    news: News | None = Field(
        None,
        description="a sensor that looks for new rows and loads their days; without it there is none",
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
        for role, name in [("key", k) for k in self.key] + [
            ("event_time", self.event_time.column),
            ("version", self.version),
        ]:
            if name is not None and name not in self.columns:
                raise ValueError(f"{role} names the column {name}, which columns does not declare")
            if name is not None and self.columns[name].no_value:
                raise ValueError(f"the column {name} is the {role}: it cannot have codes that mean no value")
            if role != "version" and name is not None and self.columns[name].optional:
                raise ValueError(f"the column {name} is the {role}: it cannot be optional")
            if role != "version" and name is not None and self.columns[name].on_bad == "null":
                raise ValueError(f"the column {name} is the {role}: a bad value of it cannot become null")
        unit, kind = self.event_time.unit, self.columns[self.event_time.column].type
        fitting = {"timestamp", "string"} if unit == "iso" else {"int", "number"}
        if kind not in fitting:
            raise ValueError(
                f"event_time of unit {unit} needs a column of type {' or '.join(sorted(fitting))}, not {kind}"
            )
        for name, column in self.columns.items():
            if column.required_when:
                check_condition("required_when", name, column.required_when, self.columns)
            if isinstance(column.optional, str):
                check_condition("optional", name, column.optional, self.columns)
        self.endpoint.check_fit(self.page, self.window.params)
        newest_first = self.window.reach or self.endpoint.paginator.type == "newest_first"
        if self.news and not newest_first and not self.news.params:
            raise ValueError(
                "news needs a source that lists the newest rows first; give it parameters to that end,"
                " for example news: { params: { sort: desc } }"
            )
        return self

    def on_bad(self, name: str) -> OnBad:
        """Return what a bad value of the column called `name` leads to."""
        column = self.columns[name]
        if column.on_bad:
            return column.on_bad
        needed = column.required or column.required_when is not None
        return "quarantine" if needed or name in {*self.key, self.event_time.column, self.version} else "null"

    def rounding(self, name: str) -> Rounding | None:
        """Return how an integer column called `name` takes a number with a fraction; None: as a bad value."""
        column, event = self.columns[name], self.event_time
        is_epoch = column.type == "int" and name == event.column and event.unit != "iso"
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


class SourceSpec(Part):
    """A system that data comes from, as a file in `sources/` declares it."""

    source: Identifier = Field(examples=["source: nightscout"])
    description: str = Field("", examples=["description: Continuous glucose monitoring"])
    demo: Literal["nightscout", "github"] | None = Field(
        None,
        description="protocol the demo source speaks for it where no URL is set",
        examples=["demo: nightscout"],
    )
    rest: Rest = Field(examples=['rest: { base_url: "{url}" }'])
    tables: tuple[SourceTable, ...] = Field(
        min_length=1, strict=False, examples=["tables: [{ name: glucose_entries, … }]"]
    )

    @model_validator(mode="after")
    def _tables_are_distinct(self) -> SourceSpec:
        seen: set[str] = set()
        for table in self.tables:
            if table.name in seen:
                raise ValueError(f"two tables are called {table.name}; give each its own name")
            seen.add(table.name)
        return self
