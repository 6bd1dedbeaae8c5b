"""The state of an installation for Prometheus, in its text format (0.0.4); read in a few indexed queries."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import psycopg
import psycopg2
from dagster import DagsterRunStatus
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from millpond.errors import MillpondError
from millpond.instance.connections import pool
from millpond.instance.record import parse_event
from millpond.observability.events import find_first_id, find_number
from millpond.runtime.databases import databases
from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import locate
from millpond.runtime.part import UP, read_last_statuses
from millpond.runtime.processes import find_process
from millpond.settings import settings

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METRICS: Final[Mapping[str, str]] = {
    "millpond_database_up": "Whether a database could be read for these metrics (1) or not (0).",
    "millpond_part_up": "Whether a part of millpond up works (1) or not (0).",
    "millpond_part_restarts": "How often a part was restarted since millpond up started.",
    "millpond_runs_last_day": "Runs that changed in the last 24 hours, by their status now.",
    "millpond_asset_last_materialization_timestamp_seconds": "When an asset was last materialized.",
    "millpond_asset_age_seconds": "How long ago an asset was last materialized.",
    "millpond_asset_rows": "Rows that the last materialization of an asset wrote.",
    "millpond_checks_failing": "Asset checks whose latest result of the last 7 days is a failure, by asset.",
    "millpond_alerts_open": "Alerts that are open, by kind and severity.",
    "millpond_alerts_undelivered": "Deliveries of alerts that are not accepted yet, by channel.",
    "millpond_backfills_running": "Backfills that are running.",
}
"""Every metric with its meaning; all of them are gauges."""
_CHECKED_WITHIN: Final = dt.timedelta(days=7)
_STATEMENT_MILLISECONDS: Final = 5000
_ROW_LABELS: Final = ("dagster/partition_row_count", "rows", "rows_loaded", "dagster/row_count")


class Sample(NamedTuple):
    """One line: a metric, its labels and its value."""

    metric: str
    labels: Mapping[str, str]
    value: float


def render_metrics() -> str:
    """Return all metrics; those of a database that does not answer are left out."""
    found = [*_read_parts()]
    for name, read in (("dagster", _read_dagster), ("ops", _read_ops)):
        samples: list[Sample] = []
        with suppress(MillpondError, SQLAlchemyError, psycopg.Error, psycopg2.Error):
            samples = list(read())
        found += [*samples, Sample("millpond_database_up", {"database": name}, bool(samples))]
    return format_samples(found)


def format_samples(samples: Iterable[Sample]) -> str:
    """Return samples in the text format, those of one metric together."""
    by_metric: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for sample in samples:
        by_metric[sample.metric].append(sample)
    lines = []
    for name, each in by_metric.items():
        if each:
            lines += [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge"]
            lines += [
                f"{name}{_format_labels(sample.labels)} {_format_value(sample.value)}" for sample in each
            ]
    return "\n".join(lines) + "\n"


def _format_labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') for value in labels.values()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(labels, escaped, strict=True)) + "}"


def _format_value(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _read_parts() -> Iterator[Sample]:
    home = locate(settings())
    supervisor = find_process(home, SUPERVISOR)
    for name, status in (read_last_statuses(home, supervisor.pid) if supervisor else {}).items():
        yield Sample("millpond_part_up", {"part": name}, status.state == UP)
        yield Sample("millpond_part_restarts", {"part": name}, status.restarts)


_RUNS = text(
    "select status, count(*) as runs from runs where status = any(:statuses)"
    " and update_timestamp >= :since group by 1"
)
_ASSETS = text("""
    select asset_key, last_materialization_timestamp, last_materialization
    from asset_keys
    where last_materialization_timestamp is not null
        and (wipe_timestamp is null or last_materialization_timestamp > wipe_timestamp)
    order by asset_key
""")
_FAILING = text("""
    select asset_key, count(*) from asset_check_executions where execution_status = 'FAILED' and id = any(
        select max(id) from asset_check_executions
        where id >= :first and execution_status in ('SUCCEEDED', 'FAILED') group by asset_key, check_name
    ) group by 1 order by 1
""")
_STATUSES: Final = tuple(status.value for status in DagsterRunStatus)


def _read_dagster() -> Iterator[Sample]:
    now = dt.datetime.now(dt.UTC)
    with pool(_STATEMENT_MILLISECONDS).connect() as connection:
        day = {"statuses": list(_STATUSES), "since": (now - dt.timedelta(days=1)).replace(tzinfo=None)}
        counts = {row.status: row.runs for row in connection.execute(_RUNS, day)}
        for status in _STATUSES:
            yield Sample("millpond_runs_last_day", {"status": status.lower()}, counts.get(status, 0))
        yield from _read_assets(connection, now)
        first = find_first_id(connection, "asset_check_executions", now - _CHECKED_WITHIN)
        for key, failing in connection.execute(_FAILING, {"first": first}):
            yield Sample("millpond_checks_failing", {"asset": _name(key)}, failing)


def _read_assets(connection: Connection, now: dt.datetime) -> Iterator[Sample]:
    for key, at, record in connection.execute(_ASSETS):
        labels, moment = {"asset": _name(key)}, at.replace(tzinfo=dt.UTC)
        yield Sample("millpond_asset_last_materialization_timestamp_seconds", labels, moment.timestamp())
        yield Sample("millpond_asset_age_seconds", labels, round((now - moment).total_seconds(), 1))
        event = parse_event(record)["event_log_entry"]["dagster_event"] if record else {}
        made = (event.get("event_specific_data") or {}).get("materialization") or {}
        entries = made.get("metadata_entries", ())
        rows = find_number({each["label"]: each["entry_data"].get("value") for each in entries}, *_ROW_LABELS)
        if rows is not None:
            yield Sample("millpond_asset_rows", labels, rows)


def _read_ops() -> Iterator[Sample]:
    with databases().ops.connect() as connection:
        for kind, severity, count in connection.execute(
            "select kind, severity, count(*) from alerts where resolved_at is null"
            " group by 1, 2 order by 1, 2"
        ):
            yield Sample("millpond_alerts_open", {"kind": kind, "severity": severity}, count)
        for channel, count in connection.execute(
            "select channel, count(*) from alert_deliveries where state in ('pending', 'sending')"
            " group by 1 order by 1"
        ):
            yield Sample("millpond_alerts_undelivered", {"channel": channel}, count)
        row: Any = connection.execute("select count(*) from backfills where state = 'running'").fetchone()
        yield Sample("millpond_backfills_running", {}, row[0])


def _name(key: str) -> str:
    return "/".join(json.loads(key))
