"""The outbox in schema `ops`: alerts, what was seen, how far was read, deliveries and silences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from millpond.runtime.databases import databases
from millpond.settings import settings

Connection = psycopg.Connection[dict[str, Any]]

_LOCK: Final = 0x616C65727473
"""Advisory lock that keeps two processes from creating the tables at once."""

_TABLES = """
create table if not exists alerts (
    id bigint generated always as identity primary key,
    kind text not null,
    severity text not null,
    source text not null,
    dedup_key text not null,
    title text not null,
    reason text not null,
    assets text[] not null,
    checks text[] not null,
    partition text not null,
    owners text[] not null,
    tags text[] not null,
    ref text not null,
    job text not null,
    run_id text not null,
    run_url text not null,
    position bigint not null,
    times int not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text not null default '',
    routed_at timestamptz,
    end_routed_at timestamptz
);
comment on table alerts is 'what people are told; one row per dedup_key while it is open';
alter table alerts add column if not exists unharmed text not null default '';
alter table alerts add column if not exists next_step text not null default '';
alter table alerts add column if not exists closed_by text not null default '';
alter table alerts add column if not exists causes text[] not null default '{}';
create unique index if not exists alerts_open on alerts (dedup_key) where resolved_at is null;
create index if not exists alerts_unrouted on alerts (id) where routed_at is null;
create index if not exists alerts_end_unrouted on alerts (id)
    where resolved_at is not null and end_routed_at is null;
create table if not exists alert_sources (
    source text primary key,
    at timestamptz not null default clock_timestamp()
);
comment on table alert_sources is 'what was seen already; seeing it again makes no second alert';
create table if not exists alert_cursors (
    name text primary key,
    settled bigint not null,
    seen bigint[] not null default '{}',
    mark bigint,
    mark_xid xid8,
    looked_at timestamptz not null default clock_timestamp()
);
comment on table alert_cursors is 'how far Dagster''s storage was read, moved together with what was found';
create table if not exists alert_deliveries (
    id bigint generated always as identity primary key,
    alert bigint not null references alerts (id) on delete cascade,
    action text not null check (action in ('tell', 'resolve')),
    channel text not null,
    state text not null default 'pending'
        check (state in ('pending', 'sending', 'delivered', 'silenced', 'abandoned')),
    attempts int not null default 0,
    next_attempt timestamptz not null default clock_timestamp(),
    last_error text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    delivered_at timestamptz,
    message text,
    incident text,
    uncertain boolean not null default false,
    claimed_by text,
    unique (alert, action, channel)
);
comment on column alert_deliveries.message is 'the message it went in or is going in; one for a digest';
comment on column alert_deliveries.incident is 'key under which the receiver knows it, for its end';
comment on column alert_deliveries.uncertain is 'whether an earlier try may have arrived';
create index if not exists alert_deliveries_due on alert_deliveries (channel, next_attempt)
    where state = 'pending';
create index if not exists alert_deliveries_incident on alert_deliveries (channel, incident);
create table if not exists alert_silences (
    id bigint generated always as identity primary key,
    pattern text not null,
    until timestamptz not null,
    created_at timestamptz not null default clock_timestamp()
);
"""

_made: set[tuple[Path, int]] = set()


@contextmanager
def outbox() -> Iterator[Connection]:
    """Yield a connection to the outbox; the block is one transaction, kept if it ends without an error.

    Starts Postgres and makes the tables where they are missing.
    """
    with databases().ops.connect(row_factory=dict_row) as connection:
        ensure(connection)
        yield connection


def ensure(connection: Connection) -> None:
    """Make the tables where they are missing; safe when raced."""
    key = settings().home, connection.info.port
    if key in _made:
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLES)
    _made.add(key)
