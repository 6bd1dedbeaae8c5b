"""Retention of what is over: what is current, open, running or can be undone stays, whatever its age."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from millpond.instance.retention_rules import RULES, Rule
from millpond.lake.pins import expire_pins
from millpond.runtime.databases import databases
from millpond.settings import Settings, settings

_DEAD_ROWS = 1000
"""Tables with more dead rows than this are vacuumed."""


@dataclass(frozen=True)
class Pruned:
    """How many rows of a table were deleted, or would be, and their bytes."""

    table: str
    rows: str
    count: int
    bytes: int


def prune_state(*, dry_run: bool = False) -> list[Pruned]:
    """Delete what is over for longer than `MILLPOND_HISTORY_RETENTION_DAYS`; returns what, by table.

    With `dry_run` it is only counted, without what becomes due by the deletion of something else.
    """
    configured, now = settings(), dt.datetime.now(dt.UTC)
    with databases().catalog.connect() as connection:
        refs = [name for (name,) in connection.execute("select name from lake_refs").fetchall()]
    if not dry_run:
        expire_pins()
    found = []
    for rule in RULES:
        before = now - find_age(configured, undoable=rule.undoable)
        at = before.replace(tzinfo=None) if rule.database == "dagster" else before
        with getattr(databases(), rule.database).connect() as connection:
            count, size = _apply(connection, rule, {"before": at, "refs": refs}, dry_run=dry_run)
        found.append(Pruned(rule.table, rule.rows, count, size))
    return found


def find_age(configured: Settings, *, undoable: bool) -> dt.timedelta:
    """Return how long history is kept; of what an undo needs, at least as long as versions of tables."""
    days = configured.history_retention_days
    if undoable:
        versions = (configured.snapshot_retention_days, configured.snapshot_daily_retention_days)
        days = max(days, *versions)
    return dt.timedelta(days=days)


def _apply(
    connection: psycopg.Connection[Any], rule: Rule, values: dict[str, Any], *, dry_run: bool
) -> tuple[int, int]:
    if not _exists(connection, rule.table):
        return 0, 0
    way = "select t.* from" if dry_run else "delete from"
    end = "" if dry_run else " returning t.*"
    counted = connection.execute(
        f"with due as ({way} {rule.table} as t where {rule.due}{end})"  # noqa: S608 - constants of ours
        " select count(*), coalesce(sum(pg_column_size(due.*)), 0) from due",
        values,
    ).fetchone()
    assert counted
    return int(counted[0]), int(counted[1])


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    """Return whether a table is there; Dagster creates its own when it is first used."""
    found = connection.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return bool(found and found[0])


def vacuum(least: int = _DEAD_ROWS) -> list[str]:
    """Vacuum the tables of all databases that have more dead rows than `least`: their space is used again.

    Returns their names. Readers and writers are not blocked.
    """
    done = []
    for key in ("dagster", "catalog", "ops", "marts"):
        database = getattr(databases(), key)
        with closing(database.connect(autocommit=True)) as connection:
            due = connection.execute(
                "select quote_ident(schemaname) || '.' || quote_ident(relname) from pg_stat_user_tables"
                " where n_dead_tup > %s and pg_catalog.pg_get_userbyid((select relowner from pg_class"
                " where oid = relid)) = current_user order by 1",
                (least,),
            ).fetchall()
            for (table,) in due:
                connection.execute(f"vacuum (analyze) {table}")
                done.append(f"{key}: {table}")
    return done
