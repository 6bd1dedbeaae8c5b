"""What is over goes after its time, and nothing that is current, open, running or undoable changes by it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
from daily_assets import WEEK, broken
from test_event_retention import MONTH, count_events, fail, known

from millpond.instance.event_retention import prune_events
from millpond.instance.retention_rules import RULES
from millpond.instance.state_retention import prune_state, vacuum
from millpond.partitions import Window
from millpond.runs.run import materialize
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

_TIMES = {
    "event_logs": ("timestamp",),
    "runs": ("create_timestamp", "update_timestamp"),
    "asset_check_executions": ("create_timestamp", "evaluation_event_timestamp"),
    "asset_event_tags": ("event_timestamp",),
}


def age(days: float) -> None:
    """Make everything that Dagster knows look as if it were so much older."""
    with databases().dagster.connect() as connection:
        for table, columns in _TIMES.items():
            older = ", ".join(f"{name} = {name} - %(age)s" for name in columns)
            connection.execute(f"update {table} set {older}", {"age": dt.timedelta(days=days)})


def execute(database: str, statement: str, *values: Any) -> list[Any]:
    with getattr(databases(), database).connect() as connection:
        done = connection.execute(statement, values)
        return done.fetchall() if done.description else []


def test_what_is_known_of_assets_is_the_same_without_their_former_materializations(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    for days in (60, 50, 100):
        assert materialize("*", WEEK, definitions=definitions, instance=recorded).success
        age(days)
    broken["silver"] = fail
    assert not materialize("*", Window.of_day(WEEK.last), definitions=definitions, instance=recorded).success
    broken.clear()
    prune_events(recorded, MONTH)
    before, counts = known(recorded, definitions), count_events()
    would = {(each.table, each.rows): each.count for each in prune_state(dry_run=True)}
    assert count_events() == counts
    pruned = {(each.table, each.rows): each for each in prune_state()}
    assert known(recorded, definitions) == before
    after, days = count_events(), len(WEEK)
    first = "event_logs", "former materializations of partitions"
    # Of four loads of each day, those of 210 and 150 days ago were superseded more than 90 days ago.
    assert pruned[first].count == would[first] == 3 * 2 * days
    assert pruned[first].bytes > 0
    assert pruned["runs", "runs of which nothing is current"].count == 2
    assert after["ASSET_MATERIALIZATION"] == counts["ASSET_MATERIALIZATION"] - 3 * 2 * days - 2
    assert not any(each.count for each in prune_state())
    vacuum()
    assert materialize("*", WEEK, definitions=definitions, instance=recorded).success


def test_only_what_is_over_goes_from_the_tables_of_alerts_backfills_and_files(home: Home) -> None:
    backfill = "insert into backfills (id, selection, ref, options, code, skipped, state, host, pid,"
    backfill += " pid_started, ended) values (%s, '*', 'main', '{}', '', 0, %s, 'h', 1, 0, %s)"
    long_ago, lately = dt.datetime.now(dt.UTC) - dt.timedelta(days=91), dt.datetime.now(dt.UTC)
    for name, state, ended in (
        ("old", "done", long_ago),
        ("new", "done", lately),
        ("resumable", "failed", long_ago),
        ("stopped", "interrupted", long_ago),
        ("running", "running", None),
    ):
        execute("ops", backfill, name, state, ended)
    alert = "insert into alerts (kind, severity, source, dedup_key, title, reason, assets, checks, partition,"
    alert += " owners, tags, ref, job, run_id, run_url, position, created_at, resolved_at, routed_at,"
    alert += (
        " end_routed_at) values ('k', 's', %s, %s, %s, '', '{}', '{}', '', '{}', '{}', '', '', '', '', 0,"
    )
    alert += " %s, %s, %s, %s) returning id"
    numbers = {
        name: execute("ops", alert, name, name, name, long_ago, ended, told, ended)[0][0]
        for name, ended, told in (
            ("over", long_ago, long_ago),
            ("open", None, long_ago),
            ("recent", lately, long_ago),
            ("pending", long_ago, long_ago),
        )
    }
    delivery = "insert into alert_deliveries (alert, action, channel, state) values (%s, 'tell', 'log', %s)"
    execute("ops", delivery, numbers["over"], "delivered")
    execute("ops", delivery, numbers["pending"], "pending")
    file = "insert into known_files (table_name, path, version, spec, unlisted_since)"
    file += " values ('t', %s, '', '', %s)"
    for path, since in (("gone", long_ago), ("hidden", lately), ("listed", None)):
        execute("ops", file, path, since)
    prune_state()
    names = {
        table: {name for (name,) in execute("ops", f"select {column} from {table}")}
        for table, column in (("backfills", "id"), ("alerts", "title"), ("known_files", "path"))
    }
    assert names == {
        "backfills": {"new", "resumable", "stopped", "running"},
        "alerts": {"open", "recent", "pending"},
        "known_files": {"hidden", "listed"},
    }


def test_every_rule_is_a_statement_that_its_database_takes(recorded: dg.DagsterInstance) -> None:
    tables = {each.table for each in prune_state()}
    assert tables == {rule.table for rule in RULES}
