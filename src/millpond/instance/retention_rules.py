"""Which rows of Millpond's tables and of Dagster's are over, as conditions in SQL; see docs/retention.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, LiteralString

_SUPERSEDED: Final = """exists (select from event_logs later where later.asset_key = t.asset_key
    and later.dagster_event_type {} and later.id > t.id and later.timestamp < %(before)s
    and later.partition {})"""
"""Superseded before the cut: what an undo of a commit since then may restore is not."""
_OF_DROPPED_BRANCHES: Final = """(select run_id from run_tags where key = 'millpond/ref'
    and value <> all(%(refs)s))"""
_OF_BRANCHES: Final = "(select run_id from run_tags where key = 'millpond/ref' and value <> 'main')"
_FOLDER: Final = "split_part(coalesce({0}.new_location, {0}.old_location), '/metadata/', 1)"
_MADE: Final = "= 'ASSET_MATERIALIZATION'"


@dataclass(frozen=True)
class Rule:
    """Which rows of a table are due: `due` is a condition on its alias `t` with the parameter `before`.

    `undoable` rows are kept for as long as a commit of the lake can be undone, if that is longer.
    """

    database: Literal["dagster", "catalog", "ops"]
    table: LiteralString
    rows: str
    due: LiteralString
    undoable: bool = False


def _of_events(rows: str, kinds: LiteralString, due: LiteralString) -> Rule:
    return Rule(
        "dagster",
        "event_logs",
        rows,
        f"t.dagster_event_type {kinds} and t.timestamp < %(before)s and {due}",
        undoable=True,
    )


RULES: Final = (
    _of_events(
        "former materializations of partitions",
        _MADE,
        f"t.partition is not null and {_SUPERSEDED.format(_MADE, '= t.partition')}",
    ),
    _of_events(
        "former materializations of assets without partitions",
        _MADE,
        f"t.partition is null and {_SUPERSEDED.format(_MADE, 'is null')}",
    ),
    _of_events(
        "former skips of partitions",
        "= 'ASSET_FAILED_TO_MATERIALIZE'",
        "t.partition is not null and "
        + _SUPERSEDED.format("in ('ASSET_MATERIALIZATION', 'ASSET_FAILED_TO_MATERIALIZE')", "= t.partition"),
    ),
    _of_events(
        "what runs on branches that are gone built",
        "= 'ASSET_OBSERVATION'",
        f"""t.run_id in {_OF_DROPPED_BRANCHES} and t.run_id not in (select run_id from run_tags
            where key = 'millpond/merged_into' and value = any(%(refs)s) and value <> 'main')""",  # noqa: S608
    ),
    _of_events(
        "what successful runs planned",
        "= 'ASSET_MATERIALIZATION_PLANNED'",
        "t.run_id in (select run_id from runs where status = 'SUCCESS')",
    ),
    Rule(
        "dagster",
        "asset_check_executions",
        "former results of checks",
        """t.create_timestamp < %(before)s and exists (select from asset_check_executions later
            where later.asset_key = t.asset_key and later.check_name = t.check_name and later.id > t.id
            and later.partition is not distinct from t.partition and later.create_timestamp < %(before)s)""",
    ),
    _of_events(
        "former results of checks",
        "in ('ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED')",
        "not exists (select from asset_check_executions c where c.evaluation_event_storage_id = t.id)",
    ),
    Rule(
        "dagster",
        "asset_event_tags",
        "tags of deleted events",
        "t.event_timestamp < %(before)s and not exists (select from event_logs e where e.id = t.event_id)",
    ),
    Rule(
        "dagster",
        "runs",
        "runs of which nothing is current",
        f"""t.status in ('SUCCESS', 'FAILURE', 'CANCELED') and t.update_timestamp < %(before)s
            and (t.run_id in {_OF_DROPPED_BRANCHES} or t.run_id not in {_OF_BRANCHES})
            and not exists (select from event_logs e where e.run_id = t.run_id
                and (e.asset_key is not null or e.timestamp >= %(before)s))""",
        undoable=True,
    ),
    Rule(
        "dagster",
        "event_logs",
        "events of deleted runs",
        """t.asset_key is null and t.timestamp < %(before)s and t.run_id <> ''
            and not exists (select from runs r where r.run_id = t.run_id)""",
        undoable=True,
    ),
    Rule(
        "dagster",
        "bulk_actions",
        "ended backfills of Dagster's pages",
        """t.timestamp < %(before)s
            and t.status in ('COMPLETED', 'COMPLETED_SUCCESS', 'COMPLETED_FAILED', 'FAILED', 'CANCELED')""",
    ),
    Rule(
        "dagster",
        "backfill_tags",
        "tags of deleted backfills",
        "not exists (select from bulk_actions b where b.key = t.backfill_id)",
    ),
    Rule(
        "dagster",
        "job_ticks",
        "former ticks, also of sensors and schedules that are gone",
        """t.timestamp < %(before)s and t.status <> 'STARTED' and exists (select from job_ticks later
            where later.selector_id = t.selector_id and later.id > t.id)""",
    ),
    Rule(
        "dagster",
        "asset_daemon_asset_evaluations",
        "former evaluations of automation conditions",
        """t.create_timestamp < %(before)s and exists (select from asset_daemon_asset_evaluations later
            where later.asset_key = t.asset_key and later.id > t.id)""",
    ),
    Rule(
        "catalog",
        "lake_ref_log",
        "commits that cannot be undone any more, and what became of branches that are gone",
        f"""t.at < %(before)s and (t.ref = 'main' or t.ref not in (select name from lake_refs))
            and not (t.action = 'create branch' and (t.ref in (select name from lake_refs) or exists
                (select from lake_ref_log m where m.other_ref = t.ref and m.id > t.id
                    and m.at >= %(before)s)))
            and (t.table_name = '' or {_FOLDER.format("t")} in
                (select split_part(metadata_location, '/metadata/', 1) from iceberg_tables)
                or exists (select from lake_ref_log n where n.table_namespace = t.table_namespace
                    and n.table_name = t.table_name and n.id > t.id
                    and {_FOLDER.format("n")} = {_FOLDER.format("t")}))""",  # noqa: S608
        undoable=True,
    ),
    Rule("ops", "backfills", "backfills that are done", "t.state = 'done' and t.ended < %(before)s"),
    Rule(
        "ops",
        "alerts",
        "alerts that are over and delivered",
        """t.resolved_at < %(before)s and t.routed_at is not null and t.end_routed_at is not null
            and not exists (select from alert_deliveries d where d.alert = t.id
                and d.state in ('pending', 'sending'))""",
    ),
    Rule(
        "ops",
        "alert_sources",
        "what was seen long ago",
        "t.at < least(%(before)s, now() - interval '60 days')",
    ),
    Rule("ops", "alert_silences", "silences that have ended", "t.until < %(before)s"),
    Rule("ops", "resource_samples", "samples of what parts and runs use", "t.at < now() - interval '7 days'"),
    Rule(
        "ops",
        "known_files",
        "files that their source does not list any more",
        "t.unlisted_since < %(before)s",
    ),
)
"""In the order in which they are applied: later ones delete what earlier ones made due."""
