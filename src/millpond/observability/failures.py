"""What failed in runs: the assets of each failed step, and why it failed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dagster import DagsterInstance
from sqlalchemy import text

from millpond.instance.record import connection, parse_event
from millpond.observability.events import PLANNED
from millpond.observability.sensitive import hide_text

_LETTERS = 300


@dataclass(frozen=True)
class Failure:
    """A failed step of a run: its assets, and the first line of the error."""

    run: str
    step: str
    assets: tuple[str, ...]
    error: str


_FAILED = text("""
    select run_id, step_key, event from event_logs
    where run_id = any(:runs) and dagster_event_type = 'STEP_FAILURE' order by id
""")
_ASSETS = text("""
    select distinct run_id, step_key, asset_key from event_logs
    where run_id = any(:runs) and dagster_event_type = :kind and asset_key is not null
""")


def read_failures(
    instance: DagsterInstance, runs: Collection[str], sensitive: Collection[str] = ()
) -> dict[str, list[Failure]]:
    """Return the failed steps by run; errors about `sensitive` assets, which may quote values, are hidden."""
    with connection(instance) as conn:
        failed = conn.execute(_FAILED, {"runs": list(runs)}).fetchall()
        of_failed = {"runs": list({run for run, _, _ in failed}), "kind": PLANNED}
        planned = conn.execute(_ASSETS, of_failed).fetchall() if failed else []
    assets: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for run, step, key in planned:
        assets[run, step].append("/".join(json.loads(key)))
    found: defaultdict[str, list[Failure]] = defaultdict(list)
    for run, step, event in failed:
        data = parse_event(event)["dagster_event"]["event_specific_data"] or {}
        names = tuple(sorted(assets[run, step]))
        error = hide_text(_describe(data)[:_LETTERS], [name for name in names if name in sensitive])
        found[run].append(Failure(run, step or "", names, error))
    return found


def _describe(data: Mapping[str, Any]) -> str:
    """Return the error that a failure has in its metadata, else the first line of the innermost exception."""
    told = (data.get("user_failure_data") or {}).get("metadata_entries") or ()
    values = {each["label"]: each["entry_data"].get("text") for each in told}
    if error := values.get("error"):
        return str(error)
    raised = data.get("error") or {}
    while raised.get("cause"):
        raised = raised["cause"]
    return str(raised.get("message") or "").strip().partition("\n")[0]
