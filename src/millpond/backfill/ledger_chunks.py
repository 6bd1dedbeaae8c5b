"""The runs of a backfill in the ledger: claimed by one worker each, and closed with their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from millpond.backfill.ledger_access import Connection, identify_process, transaction
from millpond.backfill.pieces import COUNT_METADATA, Key, Piece
from millpond.partitions import Window
from millpond.redaction import redacted
from millpond.runtime.processes import start_time


class PartitionState(StrEnum):
    """State of a partition in a backfill; BLOCKED means that a parent failed."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Outcome:
    """Outcome for a partition; counts are None if nothing was loaded from a source."""

    state: PartitionState
    reason: str | None = None
    rows: int | None = None
    seconds: float | None = None
    quarantined: int | None = None
    nulled: int | None = None
    no_value: int | None = None
    duplicates: int | None = None
    outside: int | None = None
    unharmed: str = ""
    next: str = ""


@dataclass(frozen=True)
class Claim:
    """A piece that a worker has claimed, and the id of its run."""

    number: int
    piece: Piece
    run_id: str


_ORDER = "order by phase, first_day, number"
_CLAIM = f"""
update backfill_chunks set state = 'claimed', worker_pid = %(pid)s, worker_started = %(started)s,
    run_id = %(run_id)s
where (backfill, number) = (
    select backfill, number from backfill_chunks c where backfill = %(id)s
    and ((state = 'open' and not_before <= clock_timestamp())
         or (state = 'claimed' and worker_pid = %(pid)s and worker_started = %(started)s))
    and not exists (
        select 1 from backfill_chunks o
        where o.backfill = c.backfill and o.phase < c.phase and o.state <> 'closed')
    {_ORDER} limit 1 for update skip locked)
returning *
"""  # noqa: S608 - our own text

OUTCOME_COLUMNS: Final = {
    "state": "text",
    "reason": "text",
    "rows": "bigint",
    "seconds": "float8",
    **dict.fromkeys(COUNT_METADATA, "bigint"),
    "unharmed": "text",
    "next": "text",
}
"""Columns of the ledger with the outcome of a partition, and their types: the fields of `Outcome`."""
_NOTE = f"""
update backfill_partitions p set
    run_id = coalesce(%s, run_id), {", ".join(f"{c} = n.{c}" for c in OUTCOME_COLUMNS)}
from unnest(%s::text[], %s::date[], {", ".join(f"%s::{t}[]" for t in OUTCOME_COLUMNS.values())})
    as n (asset, day, {", ".join(OUTCOME_COLUMNS)})
where backfill = %s and p.asset = n.asset and p.day is not distinct from n.day
"""  # noqa: S608 - our own text

_ADD = """
with new as (
    insert into backfill_chunks
        (backfill, number, phase, assets, whole, first_day, last_day, attempt, not_before)
    select %(id)s, coalesce(max(number), 0) + 1, %(phase)s, %(assets)s, %(whole)s, %(first)s::date,
        %(last)s::date, %(attempt)s, clock_timestamp() + make_interval(secs => %(wait)s)
    from backfill_chunks where backfill = %(id)s returning number)
update backfill_partitions set chunk = (select number from new)
where backfill = %(id)s and state = 'open' and (
    asset = any(%(assets)s)
        and (day between %(first)s and %(last)s or day is null and %(first)s::date is null)
    or asset = any(%(whole)s::text[]) and day is null)
"""


def add_chunks(
    connection: Connection, backfill: str, pieces: Iterable[Piece], wait_seconds: float = 0.0
) -> None:
    """Add pieces with open partitions to a backfill; they can be claimed after `wait_seconds`."""
    with connection.cursor() as cursor:
        cursor.executemany(
            _ADD,
            [
                {
                    "id": backfill,
                    "phase": piece.phase,
                    "assets": list(piece.assets),
                    "whole": list(piece.whole),
                    "first": piece.window.start if piece.window else None,
                    "last": piece.window.last if piece.window else None,
                    "attempt": piece.attempt,
                    "wait": wait_seconds,
                }
                for piece in pieces
            ],
        )


def claim(backfill: str, run_id: str) -> Claim | None:
    """Claim the first open piece for this process; None if there is none at the moment.

    A piece can be claimed once all pieces of lower phases are closed.
    """
    _, pid, started = identify_process()
    wanted = {"id": backfill, "run_id": run_id, "pid": pid, "started": started}
    row = transaction(lambda connection: connection.execute(_CLAIM, wanted).fetchone())
    return _build_claim(row) if row else None


def close_chunk(
    backfill: str, claim: Claim, settled: Mapping[Key, Outcome], again: Sequence[Piece], wait: float = 0.0
) -> None:
    """Close a piece with the outcomes of its partitions; pieces in `again` can be claimed again."""

    def write(connection: Connection) -> None:
        closed = connection.execute(
            "update backfill_chunks set state = 'closed' where backfill = %s and number = %s"
            " and state = 'claimed' and run_id = %s",
            (backfill, claim.number, claim.run_id),
        )
        if not closed.rowcount:
            return
        record_outcomes(connection, backfill, settled, claim.run_id)
        add_chunks(connection, backfill, again, wait)

    transaction(write)


def record_outcomes(
    connection: Connection, backfill: str, settled: Mapping[Key, Outcome], run_id: str | None
) -> None:
    """Record the outcomes of partitions."""
    assets, days = [asset for asset, _ in settled], [day for _, day in settled]
    columns = [[_redact(getattr(s, name)) for s in settled.values()] for name in OUTCOME_COLUMNS]
    connection.execute(_NOTE, (run_id, assets, days, *columns, backfill))


def _redact(value: Any) -> Any:
    return redacted(value) if type(value) is str else value


def count_pending(backfill: str) -> tuple[int, float]:
    """Return how many pieces are not closed, and in how many seconds the next one can be claimed."""
    row = transaction(
        lambda connection: connection.execute(
            "select count(*) as n, extract(epoch from min(not_before) filter (where state = 'open')"
            " - clock_timestamp()) as wait from backfill_chunks where backfill = %s and state <> 'closed'",
            (backfill,),
        ).fetchone()
    )
    assert row
    return row["n"], max(0.0, float(row["wait"] or 0.0))


def find_abandoned(backfill: str) -> tuple[list[Claim], list[int]]:
    """Return the pieces whose worker died, and the pids of live workers."""
    rows = transaction(
        lambda connection: connection.execute(
            f"select * from backfill_chunks where backfill = %s and state = 'claimed' {_ORDER}",  # noqa: S608
            (backfill,),
        ).fetchall()
    )
    alive = {row["worker_pid"] for row in rows if start_time(row["worker_pid"]) == row["worker_started"]}
    return [_build_claim(row) for row in rows if row["worker_pid"] not in alive], sorted(alive)


def read_states(backfill: str, assets: Sequence[str]) -> dict[str, set[PartitionState]]:
    """Return the states of the partitions of each of `assets`; none if it is not in the backfill."""
    rows = transaction(
        lambda connection: connection.execute(
            "select distinct asset, state from backfill_partitions where backfill = %s and asset = any(%s)",
            (backfill, list(assets)),
        ).fetchall()
    )
    return {
        asset: {PartitionState(row["state"]) for row in rows if row["asset"] == asset} for asset in assets
    }


def count_failures(backfill: str) -> int:
    """Return how many partitions failed, without blocked ones."""
    row = transaction(
        lambda connection: connection.execute(
            "select count(*) as n from backfill_partitions where backfill = %s and state = 'failed'",
            (backfill,),
        ).fetchone()
    )
    assert row
    return int(row["n"])


def _build_claim(row: Mapping[str, Any]) -> Claim:
    window = Window.of_days(row["first_day"], row["last_day"]) if row["first_day"] else None
    piece = Piece(
        tuple(row["assets"]), window, row["attempt"], early=row["phase"] == 0, whole=tuple(row["whole"])
    )
    return Claim(row["number"], piece, row["run_id"])
