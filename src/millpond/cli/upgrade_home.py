"""The home's part of `millpond upgrade`: pending migrations, runs in progress, and the migration."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row

from millpond.backfill.ledger_access import Holder
from millpond.errors import UpgradeRefused
from millpond.instance import upgrade
from millpond.instance.run_processes import HOST_TAG
from millpond.runtime.databases import databases
from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import layout, locate
from millpond.runtime.migrations.migrate import SCHEMAS, find_pending_steps, migrate, version
from millpond.runtime.postmaster import data_folder
from millpond.runtime.processes import find_process, start_time
from millpond.settings import settings

_STATE, _DAGSTER = "state", "Dagster's storage"
_CLOCK_TOLERANCE = 2.0
_RUNS = """
    select r.run_id, r.pipeline_name as job, r.status, (
        select e.event::jsonb from event_logs e
        where e.run_id = r.run_id and e.dagster_event_type = 'PIPELINE_START' order by e.id desc limit 1
    ) as start, (select t.value from run_tags t where t.run_id = r.run_id and t.key = %s limit 1) as host
    from runs r
    where r.status in ('STARTED', 'CANCELING')
        or r.status = 'STARTING' and r.update_timestamp > now() at time zone 'utc' - interval '10 minutes'
    order by r.id
"""
_BACKFILLS = "select id, host, pid, pid_started, heartbeat from backfills where state = 'running' order by 1"


@dataclass(frozen=True)
class Change:
    """One change of an upgrade: the part of the home, and what changes."""

    part: str
    change: str


def home_exists() -> bool:
    """Return whether there is a home that may have to be migrated; creates none."""
    return settings().scale or data_folder(locate(settings())).exists()


def find_home_changes() -> list[Change]:
    """Return pending changes of this home's state and Dagster's storage. Raises HomeTooNew."""
    lacking = {}
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            lacking.update({step.number: step for step in find_pending_steps(version(connection))})
    state = [Change(_STATE, f"version {number}: {step.name}") for number, step in sorted(lacking.items())]
    return [*state, *(Change(_DAGSTER, words) for words in upgrade.find_pending())]


def migrate_home() -> None:
    """Apply all of `find_home_changes`; continues an upgrade that was killed.
    Raises MigrationFailed.
    """
    for schema in SCHEMAS:
        with getattr(databases(), schema).connect_as_it_is() as connection:
            migrate(connection, schema, by_hand=True)
    if upgrade.find_pending():
        upgrade.upgrade_storage()


def refuse_while_working(*, is_changed: bool) -> None:
    """Raise UpgradeRefused while runs or backfills are in progress; with changes also while `up` runs."""
    working = [*_list_runs(), *_list_backfills()]
    if working:
        what, ending = working[0]
        others = f" and {len(working) - 1} more" if len(working) > 1 else ""
        raise UpgradeRefused(
            f"{what} is in progress{others}",
            unharmed="the home; nothing was changed",
            next_step=f"wait for its end, or {ending}; then `millpond upgrade`",
        )
    supervisor = None if settings().scale else find_process(layout(settings()), SUPERVISOR)
    if supervisor and is_changed:
        raise UpgradeRefused(
            f"`millpond up` runs for this home (process {supervisor.pid})",
            unharmed="the home; nothing was changed",
            next_step="`millpond down`, then `millpond upgrade`, then `millpond up`",
        )


def _list_runs() -> Iterator[tuple[str, str]]:
    with databases().dagster.connect(row_factory=dict_row, autocommit=True) as connection:
        try:
            rows = connection.execute(_RUNS, (HOST_TAG,)).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return
    for row in rows:
        if (row["host"] or socket.gethostname()) != socket.gethostname() or not _is_dead(row["start"]):
            yield (
                f"run {row['run_id']} of {row['job']}",
                "end it (Ctrl-C in its terminal, or Terminate in Dagster's pages)",
            )


def _is_dead(start: dict[str, object] | None) -> bool:
    """Return whether the process that started a run is gone: a killed process cannot record the end."""
    event = (start or {}).get("dagster_event")
    pid = event.get("pid") if isinstance(event, dict) else None
    if not start or not isinstance(pid, int):
        return False
    began = start_time(pid)
    return began is None or began > float(str(start["timestamp"])) + _CLOCK_TOLERANCE


def _list_backfills() -> Iterator[tuple[str, str]]:
    with databases().ops.connect_as_it_is() as connection:
        try:
            rows = connection.execute(_BACKFILLS).fetchall()
        except psycopg.errors.UndefinedTable:
            return
    for id_, *holder in rows:
        if Holder(*holder).alive:
            yield f"backfill {id_}", f"`millpond backfill cancel {id_}`"
