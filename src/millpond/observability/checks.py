"""Results of dbt tests and asset checks: pass rates, and what fails now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterInstance
from sqlalchemy import text

from millpond.instance.record import connection, database_key, parse_event
from millpond.observability.assets import Asset
from millpond.observability.events import find_first_id
from millpond.observability.sensitive import mentions
from millpond.transform.sensitive import HIDDEN

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"


@dataclass(frozen=True)
class PassRate:
    """How often a check of an asset passed and failed, of those that ended."""

    asset: str
    check: str
    passed: int
    failed: int

    @property
    def rate(self) -> float:
        """The share that passed, 0 to 1."""
        return self.passed / (self.passed + self.failed)


@dataclass(frozen=True)
class CheckState:
    """The latest result of a check; `blocking` results that fail keep data from being published.

    `samples` are rows that fail, where the check keeps some, with sensitive columns hidden.
    """

    asset: str
    check: str
    passed: bool
    blocking: bool
    at: dt.datetime
    run: str
    description: str = ""
    samples: list[dict[str, Any]] = field(default_factory=list)


_RATES = text("""
    select asset_key, check_name, count(*) filter (where execution_status = 'SUCCEEDED'),
        count(*) filter (where execution_status = 'FAILED')
    from asset_check_executions
    where id >= :first and asset_key = any(:assets) and execution_status in ('SUCCEEDED', 'FAILED')
    group by 1, 2
""")


def read_pass_rates(instance: DagsterInstance, assets: Sequence[Asset], since: dt.datetime) -> list[PassRate]:
    """Return how often each check passed since a moment, worst first."""
    keys = {database_key(each.name): each.name for each in assets}
    with connection(instance) as conn:
        first = find_first_id(conn, "asset_check_executions", since)
        rows = conn.execute(_RATES, {"first": first, "assets": list(keys)}).fetchall()
    rates = [PassRate(keys[key], check, passed, failed) for key, check, passed, failed in rows]
    return sorted(rates, key=lambda each: (each.rate, each.asset, each.check))


_LATEST = text("""
    select asset_key, check_name, execution_status, run_id, create_timestamp, evaluation_event
    from asset_check_executions where id = any(
        select max(id) from asset_check_executions
        where id >= :first and asset_key = any(:assets) and execution_status in ('SUCCEEDED', 'FAILED')
        group by asset_key, check_name
    )
""")


def read_check_states(
    instance: DagsterInstance,
    assets: Sequence[Asset],
    since: dt.datetime,
    sensitive: Mapping[str, frozenset[str]] | None = None,
) -> list[CheckState]:
    """Return the latest result of each check that ran since a moment; failures first.

    `sensitive` names, by asset, more columns whose values are hidden in samples. A description that names one
    of them is hidden, too.
    """
    keys = {database_key(each.name): each.name for each in assets}
    secret = {each.name: each.sensitive | (sensitive or {}).get(each.name, frozenset()) for each in assets}
    with connection(instance) as conn:
        first = find_first_id(conn, "asset_check_executions", since)
        rows = conn.execute(_LATEST, {"first": first, "assets": list(keys)}).fetchall()
    states = []
    for key, check, status, run, at, event in rows:
        evaluation = _read_evaluation(event)
        hidden = secret[keys[key]]
        said = evaluation.get("description") or ""
        states.append(
            CheckState(
                keys[key],
                check,
                status == SUCCEEDED,
                bool(evaluation.get("blocking")),
                at.replace(tzinfo=dt.UTC),
                run,
                HIDDEN if mentions(said, hidden) else said,
                _read_samples(evaluation.get("metadata", {}), hidden) if status == FAILED else [],
            )
        )
    return sorted(states, key=lambda each: (each.passed, not each.blocking, each.asset, each.check))


def _read_evaluation(event: Any) -> dict[str, Any]:
    body = parse_event(event) if isinstance(event, str) else event or {}
    data = (body.get("dagster_event") or {}).get("event_specific_data") or {}
    return data if isinstance(data, dict) else {}


def _read_samples(metadata: Any, hidden: frozenset[str]) -> list[dict[str, Any]]:
    """Return the rows of the tables among the metadata of an evaluation."""
    found: list[dict[str, Any]] = []
    for value in metadata.values() if isinstance(metadata, dict) else ():
        for record in value.get("records", ()) if isinstance(value, dict) else ():
            row = record.get("data", record) if isinstance(record, dict) else {}
            found.append({name: HIDDEN if name in hidden else each for name, each in row.items()})
    return found
