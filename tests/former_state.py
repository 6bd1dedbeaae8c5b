"""A home's state in Postgres as releases left it: `former/` has the tables of the one before migrations."""

from __future__ import annotations

from pathlib import Path

from millpond.lake import connect
from millpond.runtime import databases as module
from millpond.runtime import idle_connections
from millpond.runtime.databases import databases
from millpond.runtime.migrations import migrate
from millpond.runtime.migrations.migrate import Step

_FOLDER = Path(__file__).parent / "former"
Contents = dict[str, list[tuple[object, ...]]]
"""The rows of each table, as text."""
SCHEMAS = ("catalog", "ops")
FORMER = {
    "lake_refs": "insert into lake_refs (name, base, purpose) values ('dev', 'main', 'kept')",
    "iceberg_tables": "insert into iceberg_tables values ('main', 'raw', 'readings', 's3://a')",
    "lake_branch_bases": "insert into lake_branch_bases values ('dev', 'raw', 'readings', 's3://a')",
    "lake_pins": "insert into lake_pins (name, ref, pointers, expires_at) values ('p', 'main', '{}', now())",
    "lake_held": "insert into lake_held values"
    " ('main', 'raw.a', '2026-11-01', 'dev', 'run', now(), 288, 3, 'hash', '{}')",
    "lake_ref_log": "insert into lake_ref_log (ref, action) values ('dev', 'create')",
    "notices": "insert into notices (kind, key, over) values ('breaker_open', 'host', false)",
    "home_zone": "insert into home_zone (zone) values ('Europe/Berlin')",
    "source_origins": "insert into source_origins values ('raw.readings', 'greenhouse', 'iot.example.org')",
    "breakers": "insert into breakers values ('https://a', 3, now(), now(), 'refused')",
    "backfills": "insert into backfills (id, selection, ref, options, code, skipped, state, host, pid,"
    " pid_started) values ('b', '*', 'main', '{}', 'c', 0, 'done', 'h', 1, 1.0)",
    "backfill_chunks": "insert into backfill_chunks (backfill, number, phase, assets)"
    " values ('b', 1, 1, '{a}')",
    "backfill_partitions": "insert into backfill_partitions (backfill, asset, day, state)"
    " values ('b', 'a', '2026-11-01', 'done')",
    "alerts": "insert into alerts (kind, severity, source, dedup_key, title, reason, assets, checks,"
    " partition, owners, tags, ref, job, run_id, run_url, position)"
    " values ('k', 'error', 's', 'd', 't', 'r', '{}', '{}', '', '{}', '{}', '', '', '', '', 1)",
    "alert_sources": "insert into alert_sources (source) values ('s')",
    "alert_cursors": "insert into alert_cursors (name, settled) values ('events', 7)",
    "alert_deliveries": "insert into alert_deliveries (alert, action, channel)"
    " select id, 'tell', 'log' from alerts",
    "alert_silences": "insert into alert_silences (pattern, until) values ('climate*', now())",
}
"""A row for each table of the release before, in an order that its foreign keys allow."""


def forget() -> None:
    """Have this process open the home as a new one does."""
    module.current_databases.clear()
    idle_connections._get_idle.cache_clear()
    connect._make_engine.cache_clear()


def empty() -> None:
    """Leave the schemas as they are before the first opening."""
    forget()
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            for (table,) in connection.execute(
                "select tablename from pg_tables where schemaname = current_schema"
            ):
                connection.execute(f"drop table {table} cascade")


def make_former() -> None:
    """Leave the schemas as the release before left them: tables with rows, and no version."""
    empty()
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            connection.execute((_FOLDER / f"{schema}.sql").read_text())
            if schema == "catalog":
                connection.execute("insert into lake_refs (name) values ('main')")
            for table, statement in FORMER.items():
                if connection.execute("select to_regclass(%s)", (table,)).fetchone() != (None,):
                    connection.execute(statement)


def contents() -> Contents:
    """Return every row of every table of both schemas, but the record of migrations."""
    found = {}
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            for (table,) in connection.execute(
                "select tablename from pg_tables where schemaname = current_schema"
            ):
                found[table] = connection.execute(f"select t::text from {table} t order by 1").fetchall()
    found.pop("migrations", None)
    return found


def assert_rows_kept(before: Contents, after: Contents) -> None:
    """Fail unless `after` has each row of `before`, with columns added at the end at most."""
    for table, rows in before.items():
        now = [str(row) for (row,) in after.get(table, ())]
        assert len(now) == len(rows) or not rows, table
        for then, row in zip((str(row) for (row,) in rows), now, strict=bool(rows)):
            assert row.startswith(then.removesuffix(")")), f"{table}: columns are only added, at the end"


def recorded() -> dict[str, list[int]]:
    """Return the steps on record of each schema."""
    found = {}
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            rows = connection.execute("select number from migrations order by 1").fetchall()
            found[schema] = [number for (number,) in rows]
    return found


def stamp(number: int, millpond: str = "9.8.7") -> None:
    """Record a step of a release to come."""
    forget()
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            connection.execute("insert into migrations values (%s, 'x', now(), %s)", (number, millpond))


def next_release() -> tuple[Step, ...]:
    """Return the steps of a release to come: one that adds, one that takes long."""
    return (
        *migrate.STEPS,
        Step(
            migrate.newest() + 1,
            "adds",
            ops="create table added (a int)",
            catalog="create table added (a int)",
        ),
        Step(
            migrate.newest() + 2,
            "rewrites",
            ops="create table rewritten (a int); insert into rewritten values (1)",
            on_opening=False,
        ),
    )


def know_next_release() -> None:
    """Make this process one of a release to come."""
    migrate.STEPS = next_release()  # type: ignore[misc]
