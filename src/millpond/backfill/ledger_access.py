"""Transactions on the ledger in schema `ops`, and the processes that own backfills."""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from millpond.backfill.pieces import Key
from millpond.errors import BackfillOverlap
from millpond.partitions import contiguous
from millpond.runtime.databases import databases
from millpond.runtime.processes import start_time

Connection = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")

_RETRY_SECONDS, _PAUSE_SECONDS = 30.0, 0.2
_LOCK: Final = 4_701_326_118_204_417_021
"""Advisory lock held while checking for overlapping backfills before one starts."""


def transaction(work: Callable[[Connection], T], *, alone: bool = False) -> T:
    """Run `work` in one transaction and return its result; repeat it if the connection is lost.

    `work` must therefore be idempotent. With `alone`, no other such transaction runs at the same time. Raises
    EmbeddedPartError if the database stays unreachable.
    """
    deadline = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            with databases().ops.connect(row_factory=dict_row) as connection:
                if alone:
                    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                return work(connection)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


HEARTBEAT_SECONDS, SILENT_SECONDS = 5.0, 60.0
"""Interval of a backfill's heartbeat, and after how long without one it is dead, on another machine."""


@dataclass(frozen=True)
class Holder:
    """The process that runs, or ran, a backfill."""

    host: str
    pid: int
    pid_started: float
    heartbeat: dt.datetime

    @property
    def alive(self) -> bool:
        """Whether it is alive, as far as this machine can see."""
        if self.host == socket.gethostname():
            return start_time(self.pid) == self.pid_started
        return (dt.datetime.now(dt.UTC) - self.heartbeat).total_seconds() < SILENT_SECONDS

    def __str__(self) -> str:
        return f"process {self.pid}" + (f" on {self.host}" if self.host != socket.gethostname() else "")


def identify_process() -> tuple[str, int, float]:
    """Return host, pid and start time of this process."""
    return socket.gethostname(), os.getpid(), start_time(os.getpid()) or 0.0


def refuse_overlap(connection: Connection, ref: str, keys: Sequence[Key], but: str = "") -> None:
    """Raise BackfillOverlap if a running backfill includes some of `keys` on `ref`.

    A backfill whose process is gone is marked as interrupted instead.
    """
    running = connection.execute(
        "select id, selection, host, pid, pid_started, heartbeat from backfills"
        " where state = 'running' and ref = %s",
        (ref,),
    ).fetchall()
    for row in running:
        holder = Holder(row["host"], row["pid"], row["pid_started"], row["heartbeat"])
        if not holder.alive:
            connection.execute("update backfills set state = 'interrupted' where id = %s", (row["id"],))
            continue
        held = connection.execute(
            "select asset, day from backfill_partitions where backfill = %s and state = 'open'", (row["id"],)
        ).fetchall()
        common = {(h["asset"], h["day"]) for h in held}.intersection(keys)
        if row["id"] == but or common:
            raise _overlap_error(row["id"], row["selection"], holder, common)


def _overlap_error(backfill: str, selection: str, holder: Holder, common: set[Key]) -> BackfillOverlap:
    days: dict[str, list[dt.date]] = {}
    for asset, day in sorted(common, key=str):
        days.setdefault(asset, []).extend([day] if day else [])
    shown = "; ".join(f"{a} {', '.join(map(str, contiguous(d)))}".strip() for a, d in days.items())
    return BackfillOverlap(
        f"backfill {backfill} of {selection!r} ({holder}) is running"
        + (f" and includes partitions of this one: {shown}" if shown else ""),
        unharmed="everything; nothing was started",
        next_step=f"wait for it, look at it with `millpond backfill show {backfill}`,"
        f" or end it with `millpond backfill cancel {backfill}`",
    )
