"""Reads Dagster's event log incrementally, so that no event is missed or read twice.

Ids are assigned before a transaction commits, so an event may appear with a lower id than one that was read.
The log is complete up to a mark once every transaction that ran when the mark was set has ended; above it,
the ids that were read are stored."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from millpond.alerts.outbox import Connection
from millpond.instance.record import UNFINISHED_TAG
from millpond.runtime.databases import databases

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_CURSOR = "events"
_CONDITION = """
    id > %(settled)s and id <> all(%(seen)s) and (
        dagster_event_type in ('PIPELINE_FAILURE', 'PIPELINE_CANCELED')
        or dagster_event_type = 'ASSET_CHECK_EVALUATION' and event ~ '"(passed|success)":\\s*false'
        or dagster_event_type = 'ASSET_MATERIALIZATION' and event like '%%rows_quarantined%%')
"""


@dataclass(frozen=True)
class Row:
    """An event as it is stored; `event` is Dagster's JSON."""

    id: int
    run_id: str
    kind: str
    event: str


def read_new_events(connection: Connection, limit: int, first_days: float) -> list[Row]:
    """Return unread events, oldest first, and mark them as read in the caller's transaction.

    Waits for another reader to end. The first call in a home goes back `first_days`.
    """
    cursor = _lock_cursor(connection, first_days)
    settled, seen, mark, mark_xid = (cursor[name] for name in ("settled", "seen", "mark", "mark_xid"))
    with databases().dagster.connect(row_factory=dict_row) as dagster:
        dagster.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        now = dagster.execute(
            "select pg_snapshot_xmin(pg_current_snapshot())::text::numeric as oldest,"
            " pg_snapshot_xmax(pg_current_snapshot())::text as next,"
            " (select coalesce(max(id), 0) from event_logs) as last"
        ).fetchone()
        assert now is not None
        rows = dagster.execute(
            f"select id, run_id, dagster_event_type as kind, event from event_logs where {_CONDITION}"  # noqa: S608
            " order by id limit %(limit)s",
            {"settled": settled, "seen": seen, "limit": limit},
        ).fetchall()
    if mark is not None and now["oldest"] >= int(mark_xid):
        settled, mark, mark_xid = mark, None, None
    seen = [each for each in [*seen, *(row["id"] for row in rows)] if each > settled]
    if mark is None and len(rows) < limit:
        mark, mark_xid = now["last"], now["next"]
    connection.execute(
        "update alert_cursors set settled = %s, seen = %s, mark = %s, mark_xid = %s,"
        " looked_at = clock_timestamp() where name = %s",
        (settled, seen, mark, mark_xid, _CURSOR),
    )
    return [Row(**row) for row in rows]


def _lock_cursor(connection: Connection, first_days: float) -> dict[str, Any]:
    for _ in range(2):
        found = connection.execute(
            "select settled, seen, mark, mark_xid::text from alert_cursors where name = %s for update",
            (_CURSOR,),
        ).fetchone()
        if found:
            return found
        connection.execute(
            "insert into alert_cursors (name, settled) values (%s, %s) on conflict do nothing",
            (_CURSOR, _find_first_event(first_days)),
        )
    raise AssertionError("the cursor was just made")


def _find_first_event(days: float) -> int:
    with databases().dagster.connect() as dagster:
        row = dagster.execute(
            "select coalesce(max(id), 0) from event_logs"
            " where timestamp < (now() at time zone 'utc') - %s * interval '1 day'",
            (days,),
        ).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def open_dagster() -> Iterator[Query]:
    """Yield a function that runs read-only queries on Dagster's storage and returns their rows."""
    with databases().dagster.connect(autocommit=True) as dagster:
        dagster.execute("set default_transaction_read_only = on")
        yield lambda statement, values: dagster.execute(statement, values).fetchall()


def query_dagster(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of one query on Dagster's storage."""
    with open_dagster() as ask:
        return ask(statement, values)


_MATERIALIZATIONS = """
    select asset_key, partition, id, timestamp from event_logs e
    where dagster_event_type = 'ASSET_MATERIALIZATION' and asset_key = any(%s) and timestamp >= %s
        and (partition is null or partition = any(%s))
        and not exists (select 1 from asset_event_tags t where t.event_id = e.id and t.key = %s)
    order by id
"""
_EVER = "select asset_key from asset_keys where asset_key = any(%s) and last_materialization is not null"


class Materialization(NamedTuple):
    """A materialization: its id in the log, and when it happened."""

    id: int
    at: dt.datetime


def read_materializations(
    moment: dt.datetime, assets: Collection[str], days: Collection[dt.date]
) -> dict[tuple[str, dt.date | None], list[Materialization]]:
    """Return the materializations since `moment`, oldest first, by asset and day.

    The day is None for an asset without partitions. Loads that began before their day had ended are left out.
    """
    keys = sorted(json.dumps(name.split("/")) for name in assets)
    rows = query_dagster(
        _MATERIALIZATIONS,
        (keys, moment.astimezone(dt.UTC).replace(tzinfo=None), sorted(map(str, days)), UNFINISHED_TAG),
    )
    found: dict[tuple[str, dt.date | None], list[Materialization]] = {}
    for key, partition, number, at in rows:
        day = dt.date.fromisoformat(partition) if partition else None
        found.setdefault(("/".join(json.loads(key)), day), []).append(
            Materialization(number, at.replace(tzinfo=dt.UTC))
        )
    return found


def find_materialized(assets: Collection[str]) -> set[str]:
    """Return those of `assets` that were ever materialized."""
    keys = sorted(json.dumps(name.split("/")) for name in assets)
    return {"/".join(json.loads(key)) for (key,) in query_dagster(_EVER, (keys,))} if keys else set()
