"""The ledger's tables in schema `ops`, and short transactions on them that outlive a restart of Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from millpond.runtime.databases import databases
from millpond.settings import settings

Connection = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")

_PATIENCE_SECONDS, _PAUSE_SECONDS = 30.0, 0.2
_LOCK: Final = 4_701_326_118_204_417_021
"""Advisory lock of who looks for other backfills before beginning one."""

_TABLES = """
create table if not exists backfills (
    id text primary key,
    selection text not null,
    ref text not null,
    first_day date,
    last_day date,
    options jsonb not null,
    code text not null,
    skipped int not null,
    state text not null,
    stop_asked boolean not null default false,
    host text not null,
    pid int not null,
    pid_started double precision not null,
    heartbeat timestamptz not null default now(),
    started timestamptz not null default clock_timestamp(),
    ended timestamptz,
    seconds double precision not null default 0
);
create table if not exists backfill_chunks (
    backfill text not null references backfills on delete cascade,
    number int not null,
    phase int not null,
    assets text[] not null,
    first_day date,
    last_day date,
    attempt int not null default 0,
    not_before timestamptz not null default now(),
    state text not null default 'open',
    worker_pid int,
    worker_started double precision,
    run_id text,
    primary key (backfill, number)
);
alter table backfill_chunks add column if not exists whole text[] not null default '{}';
create table if not exists backfill_partitions (
    backfill text not null references backfills on delete cascade,
    asset text not null,
    day date,
    chunk int,
    state text not null,
    run_id text,
    reason text,
    rows bigint,
    quarantined bigint,
    seconds double precision,
    unique nulls not distinct (backfill, asset, day)
);
alter table backfill_partitions add column if not exists nulled bigint,
    add column if not exists no_value bigint, add column if not exists duplicates bigint,
    add column if not exists outside bigint, add column if not exists unharmed text not null default '',
    add column if not exists next text not null default '';
create index if not exists backfill_partitions_by_chunk on backfill_partitions (backfill, chunk);
"""

_made: set[Path] = set()


def transaction(work: Callable[[Connection], T], *, alone: bool = False) -> T:
    """Run `work` in one transaction and return what it returns; again if the database breaks off meanwhile.

    `work` must therefore come to the same when it is repeated. With `alone`, nobody else who asks for that
    is in a transaction at the same time. Raises EmbeddedPartError if the database does not come back.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with databases().ops.connect(row_factory=dict_row) as connection:
                if alone or settings().home not in _made:
                    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                if settings().home not in _made:
                    connection.execute(_TABLES)
                done = work(connection)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            _made.add(settings().home)
            return done
