"""Executes a backfill: claims pieces, runs each as one Dagster run, and records the outcomes."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import dagster as dg
import psycopg
from dagster import DagsterError
from sqlalchemy.exc import SQLAlchemyError

from millpond.backfill import ledger_chunks as chunks
from millpond.backfill.ledger import Backfill
from millpond.backfill.ledger_chunks import Claim, Outcome, PartitionState
from millpond.backfill.pieces import Key, Piece, group_pieces
from millpond.backfill.run_results import Failure, RunRecord, RunResults, evaluate_run, read_run
from millpond.errors import MillpondError, advice
from millpond.ingestion.retry import backoff
from millpond.instance.home import CODE_LOCATION
from millpond.internals.dagster import BACKFILL_ID_TAG, make_new_run_id
from millpond.resources.run import BACKFILL_TAG, accept_tags
from millpond.runs.progress import Progress
from millpond.runs.run import materialize

_IDLE_SECONDS = 0.25
_BREAKS = (MillpondError, DagsterError, SQLAlchemyError, psycopg.Error, OSError)
"""Errors that a run may end with; any other is a defect and ends the backfill."""


@dataclass(frozen=True)
class WorkerEvent:
    """An event of a worker: a step is `working`, a partition was `made`, partitions are `settled` for good.

    `reason` says why a failed step is retried.
    """

    kind: Literal["working", "made", "settled"]
    assets: tuple[str, ...] = ()
    settled: tuple[tuple[Key, Outcome], ...] = ()
    rows: int | None = None
    reason: str = ""
    worker: int = 0


@dataclass
class Engine:
    """One worker of a backfill, in this process."""

    backfill: Backfill
    instance: dg.DagsterInstance
    tell: Callable[[WorkerEvent], None]
    definitions: dg.Definitions | None = None
    max_failures: int | None = None
    worker: int = 0
    current: tuple[Claim, RunRecord] | None = None

    def __post_init__(self) -> None:
        definitions = self.definitions or importlib.import_module(CODE_LOCATION).defs
        graph = definitions.resolve_asset_graph()
        self._parents = {
            key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
            for key in graph.get_all_asset_keys()
        }
        self._materialized: dict[str, set[str]] = {}
        self._accept_shrink = bool(self.backfill.options.get("accept_shrink"))

    def work(self) -> None:
        """Run pieces until none is left, or `max_failures` partitions failed."""
        while self.max_failures is None or chunks.count_failures(self.backfill.id) < self.max_failures:
            claim = chunks.claim(self.backfill.id, make_new_run_id())
            if claim:
                self.current = claim, RunRecord()
                try:
                    self._run(*self.current)
                except KeyboardInterrupt:
                    self._settle_in_part(*self.current)
                    raise
                self.current = None
                continue
            left, wait = chunks.count_pending(self.backfill.id)
            if not left:
                return
            time.sleep(min(wait, 1.0) or _IDLE_SECONDS)

    def break_off(self) -> None:
        """Record the state of an unfinished run, just before this process ends."""
        if self.current:
            claim, record = self.current
            self._settle_in_part(claim, record)
            run = self.instance.get_run_by_id(claim.run_id)
            if run and not run.is_finished:
                self.instance.event_log_storage.free_concurrency_slots_for_run(claim.run_id)
                self.instance.report_run_canceled(run, message="Interrupted, and ended with its process.")

    def recover(self) -> None:
        """Settle the pieces of dead workers from Dagster's record of their runs."""
        for claim in chunks.find_abandoned(self.backfill.id)[0]:
            self._settle_in_part(claim, read_run(self.instance, claim.run_id))

    def _settle_in_part(self, claim: Claim, record: RunRecord) -> None:
        """Settle what an interrupted run completed; the rest can be claimed again."""
        found = record.done()
        done = {key: found[key] for key in claim.piece.keys if key in found}
        rest = [key for key in claim.piece.keys if key not in done]
        early = claim.piece.assets if claim.piece.early else ()
        self._settle(claim, RunResults(done, group_pieces(rest, claim.piece.attempt, early)))

    def _run(self, claim: Claim, record: RunRecord) -> None:
        ready, blocked = self._remove_blocked(claim.piece)
        failures: list[Failure] = []
        if ready.every:
            try:
                materialize(
                    ",".join(ready.every),
                    ready.window,
                    instance=self.instance,
                    on_event=lambda event: self._report(record, event),
                    definitions=self.definitions,
                    ref=self.backfill.ref,
                    tags={
                        BACKFILL_TAG: self.backfill.id,
                        BACKFILL_ID_TAG: self.backfill.id,  # the one that Dagster's pages use
                        **accept_tags(self._accept_shrink),
                    },
                    run_id=claim.run_id,
                )
            except _BREAKS as error:
                record = read_run(self.instance, claim.run_id)
                unharmed, next_step = advice(str(error))
                name = type(error).__name__
                failures = [Failure(ready.every, name, str(error), unharmed=unharmed, next=next_step)]
        found = evaluate_run(
            ready, record.done(), [*record.failures(), *failures], self._parents, self._was_materialized
        )
        self._settle(claim, replace(found, settled={**blocked, **found.settled}))

    def _report(self, record: RunRecord, event: Progress) -> None:
        record.take(event)
        if event.kind in ("started", "retrying"):
            self.tell(WorkerEvent("working", event.assets, reason=event.message, worker=self.worker))
        elif event.kind == "materialized":
            self.tell(WorkerEvent("made", event.assets, rows=event.rows, worker=self.worker))

    def _settle(self, claim: Claim, found: RunResults) -> None:
        wait = backoff(claim.piece.attempt + 1) if found.transient else 0.0
        chunks.close_chunk(self.backfill.id, claim, found.settled, found.again, wait)
        settled = tuple(found.settled.items())
        self.tell(WorkerEvent("settled", claim.piece.every, settled, worker=self.worker))

    def _remove_blocked(self, piece: Piece) -> tuple[Piece, dict[Key, Outcome]]:
        """Return the piece without whole assets that have a parent of which no partition was ever made."""
        blocked: dict[Key, Outcome] = {}
        if whole := piece.whole if piece.window else piece.assets:
            inputs = sorted(set().union(*(self._parents[asset] for asset in whole)))
            states = chunks.read_states(self.backfill.id, inputs)
            for asset in _sort_upstream_first(whole, self._parents):
                for parent in sorted(self._parents[asset]):
                    lost = blocked.get((parent, None))
                    if lost is None and states.get(parent) and PartitionState.DONE not in states[parent]:
                        lost = self._why_blocked(parent, states[parent])
                    if lost:
                        blocked[asset, None] = lost
        kept = tuple(asset for asset in whole if (asset, None) not in blocked)
        return replace(piece, whole=kept) if piece.window else replace(piece, assets=kept), blocked

    def _why_blocked(self, asset: str, states: set[PartitionState]) -> Outcome | None:
        if PartitionState.OPEN in states or self._was_materialized((asset, None)):
            return None
        if states == {PartitionState.UNREACHABLE}:
            return Outcome(
                PartitionState.UNREACHABLE, f"its source no longer serves any partition of {asset}"
            )
        return Outcome(PartitionState.BLOCKED, f"waits for {asset}, which has no materialized partition")

    def _was_materialized(self, key: Key) -> bool:
        """Return whether the partition was ever materialized, or for a whole asset, anything of it."""
        asset, day = key
        if asset not in self._materialized:
            found = dg.AssetKey.from_user_string(asset)
            self._materialized[asset] = self.instance.get_materialized_partitions(found)
        return str(day) in self._materialized[asset] if day else bool(self._materialized[asset])


def _sort_upstream_first(assets: tuple[str, ...], parents: dict[str, set[str]]) -> list[str]:
    ordered: list[str] = []

    def visit(asset: str) -> None:
        for parent in sorted(parents[asset] & set(assets)):
            visit(parent)
        if asset not in ordered:
            ordered.append(asset)

    for asset in assets:
        visit(asset)
    return ordered
