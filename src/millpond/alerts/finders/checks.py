"""Non-blocking checks that failed, and loads with many quarantined rows: the run succeeds in both cases."""

from __future__ import annotations

from typing import Any

from dagster import AssetCheckEvaluation, DagsterEvent, DagsterRun

from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.cause import describe_check
from millpond.alerts.kinds import Severity
from millpond.naming import MAIN_REF, agree, pluralize
from millpond.resources.run import partitions_of, ref_of

_STATEMENT = 'query the reasons: millpond sql "select reason, count(*) from quarantine.{table} group by 1"'


def report_failed_check(
    run: DagsterRun, event_id: int, found: AssetCheckEvaluation, facts: AssetFacts, pages: str
) -> Alert | None:
    """Return the alert for a check that failed on main; None for a blocking one, which fails its run."""
    if found.passed or found.blocking or ref_of(run.tags) != MAIN_REF:
        return None
    asset, partition = found.asset_key.to_user_string(), partitions_of(run.tags)
    severity: Severity = "error" if found.severity.value == "ERROR" else "warning"
    return Alert(
        kind="check_failed",
        source=f"event:{event_id}",
        dedup_key=f"check:{asset}:{found.check_name}:{partition}",
        title=f"check {found.check_name} of {asset} failed{_name_days(partition)}",
        reason="\n".join(describe_check(found)),
        severity=severity,
        checks=(found.check_name,),
        **_common_fields(run, event_id, asset, partition, facts, pages),
    )


def report_quarantine(
    run: DagsterRun, event_id: int, event: DagsterEvent, above: float, facts: AssetFacts, pages: str
) -> Alert | None:
    """Return the alert for a day on main whose share of quarantined rows is above `above`."""
    made = event.step_materialization_data.materialization
    values = {name: value.value for name, value in made.metadata.items() if name.startswith("rows_")}
    bad, rows = values.get("rows_quarantined"), values.get("rows_in_source")
    if not isinstance(bad, int) or not isinstance(rows, int) or not rows or bad / rows <= above:
        return None
    asset, partition = made.asset_key.to_user_string(), made.partition or ""
    reasons = made.metadata.get("quarantine_reasons")
    counts: Any = reasons.value if reasons else {}
    said = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return Alert(
        kind="quarantine",
        source=f"event:{event_id}",
        dedup_key=f"quarantine:{asset}:{partition}",
        title=f"{bad} of {pluralize(rows, 'row')} of {asset}"
        f" {agree(bad, 'were')} quarantined{_name_days(partition)}",
        reason=f"{bad / rows:.1%} of the rows violate the contract; the limit is {above:.1%}. {said}".strip(),
        severity="warning",
        next_step=_STATEMENT.format(table=asset.removeprefix("dlt_")),
        **_common_fields(run, event_id, asset, partition, facts, pages),
    )


def _name_days(partition: str) -> str:
    return f" for {partition}" if partition else ""


def _common_fields(
    run: DagsterRun, event_id: int, asset: str, partition: str, facts: AssetFacts, pages: str
) -> dict[str, Any]:
    return {
        "assets": (asset,),
        "partition": partition,
        "owners": facts.owners_of([asset]),
        "tags": facts.tags_of([asset]),
        "job": run.job_name,
        "run_id": run.run_id,
        "run_url": f"{pages}/runs/{run.run_id}",
        "position": event_id,
    }
