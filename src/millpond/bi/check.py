"""Compares the charts of the bundle with the marts in Postgres, and with what the models publish."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

import dagster as dg

from millpond.bi.columns import Use
from millpond.internals.dagster import TimeWindowFreshnessPolicy
from millpond.naming import MAIN_REF, marts_schema
from millpond.partitions import instant
from millpond.publish.spec import read_marts
from millpond.runtime.databases import databases

Columns = Mapping[str, Collection[str]]
"""The columns of each mart; none where they are unknown."""
_MARTS = "marts"
"""First part of the asset keys of marts."""
_COLUMNS = "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns \
WHERE table_schema = %s GROUP BY 1"


@dataclass(frozen=True)
class Problem:
    """What a chart lacks; `where` is what it was compared with: the marts, or the models of the project."""

    kind: Literal["missing", "column", "stale"]
    where: Literal["marts", "models"]
    mart: str
    charts: tuple[str, ...]
    dashboards: tuple[str, ...]
    column: str = ""
    note: str = ""

    def __str__(self) -> str:
        on = f" of {' and '.join(self.dashboards)}" if self.dashboards else ""
        shown = f"{', '.join(self.charts)}{on}"
        if self.kind == "stale":
            return f"{self.mart} is stale: {self.note}; it is shown by {shown}"
        if self.kind == "column":
            owner = f"mart {self.mart}" if self.where == "marts" else f"model {self.mart}"
            return f"{owner} has no column {self.column}, which {shown} reads"
        what = "is not in Postgres" if self.where == "marts" else "is published by no model"
        return f"{self.mart} {what}; {shown} reads it"


def read_mart_columns() -> dict[str, list[str]]:
    """Return the columns of each mart of `main` in Postgres. Raises EmbeddedPartError."""
    with databases().marts_readonly.connect() as connection:
        return dict(connection.execute(_COLUMNS, (marts_schema(MAIN_REF),)).fetchall())


def read_model_columns(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the columns that the models of dbt's manifest document, for each that is published."""
    return {mart.name: [column.name for column in mart.columns] for mart in read_marts(manifest)[0]}


def find_missing(uses: Iterable[Use], there: Columns, where: Literal["marts", "models"]) -> list[Problem]:
    """Return the marts and columns that charts read and that are not `there`, by mart and column."""
    lacking: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        columns = there.get(use.mart)
        missing = [""] if columns is None else sorted(use.columns - set(columns)) if columns else []
        for column in missing:
            lacking.setdefault((use.mart, column), []).append(use)
    return [
        Problem("column" if column else "missing", where, mart, *_describe(found), column=column)
        for (mart, column), found in sorted(lacking.items())
    ]


def find_stale(
    uses: Sequence[Use],
    made: Mapping[str, dt.datetime | None],
    due: Mapping[str, dt.timedelta],
    now: dt.datetime,
    zone: ZoneInfo,
) -> list[Problem]:
    """Return the marts that charts read and that were not published since the last day that is due.

    `made` is when each was published last, `due` how long after the end of a day it must be; a mart without
    an age that its sources declare is never stale.
    """
    found = []
    for mart in sorted({use.mart for use in uses} & due.keys()):
        last = made.get(mart)
        end = instant((now.astimezone(zone) - due[mart]).date(), zone)
        if last and last < end:
            note = f"published {last:%Y-%m-%d %H:%M} UTC, due after {end:%Y-%m-%d %H:%M} UTC"
            named = _describe([use for use in uses if use.mart == mart])
            found.append(Problem("stale", "marts", mart, *named, note=note))
    return found


def read_due(specs: Iterable[dg.AssetSpec]) -> dict[str, dt.timedelta]:
    """Return how long after the end of a day each mart must be published, for those that have such an age."""
    return {
        spec.key.path[1]: policy.fail_window.to_timedelta()
        for spec in specs
        if spec.key.path[0] == _MARTS
        and (policy := spec.freshness_policy)
        and isinstance(policy, TimeWindowFreshnessPolicy)
    }


def _describe(uses: Iterable[Use]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of charts, and of the dashboards that show them."""
    charts = {use.chart for use in uses}
    return tuple(sorted(charts)), tuple(sorted({title for use in uses for title in use.dashboards}))
