"""The outbox in schema `ops`: each event is recorded once, with one open alert per dedup_key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from millpond.alerts.alert import COLUMNS, Alert, alert_from_row, cut
from millpond.alerts.days import replace_days
from millpond.redaction import redacted
from millpond.runtime.databases import databases

Connection = psycopg.Connection[dict[str, Any]]


@contextmanager
def outbox() -> Iterator[Connection]:
    """Yield a connection to the outbox; the block is one transaction, kept if it ends without an error.

    Starts Postgres if it does not run.
    """
    with databases().ops.connect(row_factory=dict_row) as connection:
        yield connection


_STEP_LIMIT = 1500
_COLUMNS_TO_WRITE = tuple(
    name
    for name in COLUMNS
    if name not in {"id", "times", "created_at", "last_at", "resolved_at", "resolution", "closed_by"}
)
_INSERT = f"""
    insert into alerts ({", ".join(_COLUMNS_TO_WRITE)}, resolved_at, end_routed_at)
    values ({", ".join(f"%({name})s" for name in _COLUMNS_TO_WRITE)}, %(ended)s, %(ended)s)
    on conflict (dedup_key) where resolved_at is null do update set
        times = alerts.times + 1, last_at = clock_timestamp(), reason = excluded.reason,
        title = case when cardinality(excluded.causes) = 0 then alerts.title else excluded.title end,
        partition = case when cardinality(excluded.causes) = 0 then alerts.partition
            else excluded.partition end,
        assets = case when cardinality(excluded.causes) = 0 then alerts.assets else excluded.assets end,
        causes = excluded.causes, unharmed = excluded.unharmed, next_step = excluded.next_step,
        run_id = excluded.run_id, run_url = excluded.run_url,
        position = greatest(alerts.position, excluded.position)
"""  # noqa: S608 - column names of our own


def record(connection: Connection, found: Iterable[Alert]) -> int:
    """Add what was found to the outbox, in the caller's transaction; returns how much of it was new."""
    new = 0
    for alert in found:
        seen = connection.execute(
            "insert into alert_sources (source) values (%s) on conflict do nothing", (alert.source,)
        )
        if seen.rowcount:
            _insert(connection, alert)
            new += 1
    return new


def is_recorded(connection: Connection, alert: Alert) -> bool:
    """Return whether the source of the alert was recorded before."""
    seen = connection.execute("select 1 from alert_sources where source = %s", (alert.source,))
    return seen.fetchone() is not None


def _insert(connection: Connection, alert: Alert) -> None:
    clean = replace(
        alert,
        title=clean_text(alert.title),
        reason=clean_text(alert.reason)[:10_000],
        unharmed=cut(clean_text(alert.unharmed), _STEP_LIMIT),
        next_step=cut(clean_text(alert.next_step), _STEP_LIMIT),
        dedup_key=alert.dedup_key if alert.lasts else f"{alert.dedup_key}:{alert.source}",
    )
    values = {name: getattr(clean, name) for name in _COLUMNS_TO_WRITE}
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    ended = None if alert.lasts else connection.execute("select clock_timestamp() as now").fetchone()
    connection.execute(_INSERT, {**values, "ended": ended and ended["now"]})


def list_open_alerts(connection: Connection, *kinds: str) -> list[Alert]:
    """Return the open alerts of these kinds, oldest first."""
    rows = connection.execute(
        "select * from alerts where resolved_at is null and kind = any(%s) order by id", (list(kinds),)
    )
    return [alert_from_row(row) for row in rows]


class AlertLine(NamedTuple):
    """An alert, and the state of its delivery by channel."""

    alert: Alert
    channels: dict[str, str]

    @property
    def notified(self) -> tuple[str, ...]:
        """The channels that took it."""
        return tuple(name for name, state in self.channels.items() if state == "delivered")


_LIST = """
    select a.*, coalesce((
        select jsonb_object_agg(channel, state) from alert_deliveries d
        where d.alert = a.id and action = 'tell'
    ), '{}') as told
    from alerts a
    where (resolved_at is null or %(all)s or last_at >= %(since)s) and kind like %(kind)s
    order by resolved_at is null and not %(all)s desc, id desc limit %(limit)s
"""


def list_alerts(
    *, everything: bool = False, since: dt.datetime | None = None, kind: str | None = None, limit: int = 200
) -> list[AlertLine]:
    """Return the open alerts, then those that happened since a moment, each the latest first.

    With `everything`, all of them, the latest first.
    """
    values = {"all": everything, "since": since, "kind": kind or "%", "limit": limit}
    with outbox() as connection:
        rows = connection.execute(_LIST, values).fetchall()
    return [AlertLine(alert_from_row(row), row["told"]) for row in rows]


class AlertCounts(NamedTuple):
    """How many alerts are `opened`, how many of these reached nobody (`unheard`), and how many there are."""

    opened: int
    unheard: int
    every: int


_COUNT = """
    select count(*) filter (where resolved_at is null) as opened,
        count(*) filter (where resolved_at is null and not exists (
            select 1 from alert_deliveries d
            where d.alert = a.id and action = 'tell' and state = 'delivered' and channel <> 'log'
        )) as unheard,
        count(*) as every
    from alerts a where resolved_at is null or last_at >= %s
"""


def count_alerts(since: dt.datetime) -> AlertCounts:
    """Return the numbers of the alerts that are open, or happened since a moment; the log is nobody."""
    with outbox() as connection:
        row = connection.execute(_COUNT, (since,)).fetchone()
    assert row is not None
    return AlertCounts(**row)


def narrow(connection: Connection, alert: Alert, partition: str) -> None:
    """Reduce an open alert to the days `partition`, in the caller's transaction."""
    title, next_step = replace_days(alert.title, alert.next_step, alert.partition, partition, alert.ref)
    connection.execute(
        "update alerts set partition = %s, title = %s, next_step = %s where id = %s and resolved_at is null",
        (partition, title, next_step, alert.id),
    )


def resolve(connection: Connection, alert: Alert, words: str) -> None:
    """Resolve an open alert, in the caller's transaction; everyone it was sent to is notified."""
    connection.execute(
        "update alerts set resolved_at = clock_timestamp(), resolution = %s"
        " where id = %s and resolved_at is null",
        (redacted(words), alert.id),
    )


def clean_text(text: str) -> str:
    """Return `text` without secrets and without what Postgres cannot hold."""
    return redacted(text).replace("\x00", "�").encode("utf-8", "replace").decode()
