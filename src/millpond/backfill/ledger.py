"""The ledger of backfills: the partitions of each, the process that works on it, and the outcomes."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from millpond.backfill.ledger_access import Connection, Holder, identify_process, refuse_overlap, transaction
from millpond.backfill.ledger_chunks import (
    OUTCOME_COLUMNS,
    Outcome,
    PartitionState,
    add_chunks,
    record_outcomes,
)
from millpond.backfill.pieces import Key, Piece, group_pieces
from millpond.backfill.plan import Plan, State
from millpond.partitions import Window


class BackfillState(StrEnum):
    """State of a backfill; INTERRUPTED, FAILED and CANCELLED ones can be resumed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


UNFINISHED = (PartitionState.OPEN, PartitionState.FAILED, PartitionState.BLOCKED)
"""What a resumed backfill runs."""


@dataclass(frozen=True)
class Backfill:
    """A backfill in the ledger; `window` spans its days, None if none of its assets is partitioned."""

    id: str
    selection: str
    ref: str
    window: Window | None
    options: Mapping[str, Any]
    code: str
    skipped: int
    state: BackfillState
    holder: Holder
    started: dt.datetime
    ended: dt.datetime | None
    seconds: float
    counts: Mapping[str, int]

    @property
    def alive(self) -> bool:
        """Whether a process works on it."""
        return self.state == BackfillState.RUNNING and self.holder.alive

    @property
    def dead(self) -> bool:
        """Whether its process is gone without having recorded an end."""
        return self.state == BackfillState.RUNNING and not self.holder.alive

    @property
    def unfinished(self) -> int:
        """How many partitions a resumed backfill would run."""
        return sum(self.counts.get(part, 0) for part in UNFINISHED)


def create(plan: Plan, options: Mapping[str, Any]) -> str:
    """Record a plan as a backfill of this process and return its id.

    Raises BackfillOverlap, and writes nothing, if a running backfill includes some of the partitions.
    """
    # Dagster's pages show an id up to its first hyphen.
    backfill = f"{dt.datetime.now(dt.UTC):%m%d}_{secrets.token_hex(3)}"
    todo = [(item.asset, item.partition) for item in plan.todo()]
    days = sorted(day for _, day in todo if day)
    span = (days[0], days[-1]) if days else (None, None)
    skipped = sum(not item.todo and item.state == State.FRESH for item in plan.items)

    def write(connection: Connection) -> None:
        if _read(connection, backfill):
            return
        refuse_overlap(connection, plan.ref, todo)
        connection.execute(
            "insert into backfills (id, selection, ref, first_day, last_day, options, code, skipped, state,"
            " host, pid, pid_started) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(backfill, plan.selection, plan.ref, *span, json.dumps(dict(options)), plan.code, skipped),
                *(BackfillState.RUNNING, *identify_process()),
            ),
        )
        with connection.cursor().copy(
            "copy backfill_partitions (backfill, asset, day, state, reason) from stdin"
        ) as copy:
            for row in _partitions(plan):
                copy.write_row((backfill, *row))
        add_chunks(connection, backfill, list(_pieces(plan)))

    transaction(write, alone=True)
    return backfill


def _partitions(plan: Plan) -> Iterator[tuple[str, dt.date | None, str, str | None]]:
    for item in plan.items:
        if item.todo:
            yield item.asset, item.partition, PartitionState.OPEN, None
        elif item.state == State.UNREACHABLE:
            yield item.asset, item.partition, PartitionState.UNREACHABLE, item.reason


def _pieces(plan: Plan) -> Iterator[Piece]:
    days_began = False
    for chunk in plan.chunks:
        days_began = days_began or chunk.window is not None
        yield Piece(chunk.assets, chunk.window, early=not days_began, whole=chunk.whole)


def get(backfill: str) -> Backfill | None:
    """Return a backfill by its id."""
    return next(iter(list_backfills(backfill)), None)


def list_backfills(backfill: str | None = None) -> list[Backfill]:
    """Return all backfills, or the one with that id, newest first."""
    return transaction(lambda connection: _read(connection, backfill))


def find_newest_unfinished() -> Backfill | None:
    """Return the newest backfill, not cancelled, with partitions left to run or a dead process."""
    return next(
        (b for b in list_backfills() if (b.unfinished and b.state != BackfillState.CANCELLED) or b.dead), None
    )


def list_partitions(backfill: str) -> list[dict[str, Any]]:
    """Return the partitions of a backfill: asset, day, run_id and outcome, see `OUTCOME_COLUMNS`."""
    return transaction(
        lambda connection: connection.execute(
            f"select asset, day, run_id, {', '.join(OUTCOME_COLUMNS)} from backfill_partitions"  # noqa: S608
            " where backfill = %s order by day nulls last, asset",
            (backfill,),
        ).fetchall()
    )


def list_remaining(backfill: str, within: Window | None = None) -> list[Key]:
    """Return the partitions of a backfill that are not done, limited to `within`."""
    found = [row for row in list_partitions(backfill) if row["state"] in UNFINISHED]
    keys = [(row["asset"], row["day"]) for row in found]
    return [(asset, day) for asset, day in keys if not (day and within and day not in within)]


def take_over(backfill: Backfill, keys: list[Key]) -> None:
    """Have this process continue a backfill, with `keys` to run. Raises BackfillOverlap."""

    def write(connection: Connection) -> None:
        refuse_overlap(connection, backfill.ref, keys, but=backfill.id)
        early = connection.execute(
            "select assets from backfill_chunks where backfill = %s and phase = 0", (backfill.id,)
        ).fetchall()
        connection.execute("update backfill_chunks set state = 'closed' where backfill = %s", (backfill.id,))
        record_outcomes(connection, backfill.id, dict.fromkeys(keys, Outcome(PartitionState.OPEN)), None)
        add_chunks(
            connection, backfill.id, group_pieces(keys, early=set().union(*(e["assets"] for e in early)))
        )
        connection.execute(
            "update backfills set state = %s, stop_asked = false, ended = null, heartbeat = now(), host = %s,"
            " pid = %s, pid_started = %s where id = %s",
            (BackfillState.RUNNING, *identify_process(), backfill.id),
        )

    transaction(write, alone=True)


def accept_shrink(backfill: str) -> None:
    """Have the next runs of a backfill accept days with far fewer rows than are loaded."""
    transaction(
        lambda connection: connection.execute(
            "update backfills set options = options || %s where id = %s",
            (json.dumps({"accept_shrink": True}), backfill),
        )
    )


def end(backfill: str, state: BackfillState, seconds: float) -> None:
    """Record the end of a backfill, and the seconds that this process took."""
    transaction(
        lambda connection: connection.execute(
            "update backfills set state = %s, ended = clock_timestamp(), seconds = seconds + %s where id = %s"
            " and state = %s",
            (state, seconds, backfill, BackfillState.RUNNING),
        )
    )


def end_if_complete(backfill: str) -> None:
    """Mark a backfill as done that has nothing left to run but whose process died before it said so."""
    transaction(
        lambda connection: connection.execute(
            "update backfills set state = %s, ended = coalesce(ended, clock_timestamp()) where id = %s"
            " and state in (%s, %s) and not exists (select from backfill_partitions p"
            " where p.backfill = backfills.id and p.state = any(%s))",
            (
                BackfillState.DONE,
                backfill,
                BackfillState.RUNNING,
                BackfillState.INTERRUPTED,
                list(UNFINISHED),
            ),
        )
    )


def request_stop(backfill: str) -> None:
    """Ask the process of a backfill to stop; it polls twice a second."""
    transaction(
        lambda connection: connection.execute(
            "update backfills set stop_asked = true where id = %s", (backfill,)
        )
    )


def mark_cancelled(backfill: str) -> None:
    """Mark a backfill without a running process as cancelled."""
    transaction(
        lambda connection: connection.execute(
            "update backfills set state = %s, ended = coalesce(ended, clock_timestamp()) where id = %s",
            (BackfillState.CANCELLED, backfill),
        )
    )


def _read(connection: Connection, backfill: str | None = None) -> list[Backfill]:
    rows = connection.execute(
        "select b.*, coalesce(c.counts, '{}') as counts from backfills b left join (select backfill,"
        " json_object_agg(state, n) as counts from (select backfill, state, count(*) as n"
        " from backfill_partitions group by 1, 2) s group by 1) c on c.backfill = b.id"
        " where %s::text is null or b.id = %s order by b.started desc",
        (backfill, backfill),
    ).fetchall()
    return [
        Backfill(
            id=row["id"],
            selection=row["selection"],
            ref=row["ref"],
            window=Window.of_days(row["first_day"], row["last_day"]) if row["first_day"] else None,
            options=row["options"],
            code=row["code"],
            skipped=row["skipped"],
            state=BackfillState(row["state"]),
            holder=Holder(row["host"], row["pid"], row["pid_started"], row["heartbeat"]),
            started=row["started"],
            ended=row["ended"],
            seconds=row["seconds"],
            counts=row["counts"],
        )
        for row in rows
    ]
