"""Works a backfill off: claims a piece, runs it as one Dagster run, settles what came of it, until all is."""

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
from millpond.backfill.engine_record import Record, recorded
from millpond.backfill.engine_verdict import Failure, Verdict, verdict
from millpond.backfill.ledger import Backfill
from millpond.backfill.ledger_chunks import Claim, Part, Settled
from millpond.backfill.pieces import Key, Piece, grouped
from millpond.backfill.progress import Progress
from millpond.backfill.run import materialize
from millpond.errors import MillpondError, advice
from millpond.ingestion.patience import backoff
from millpond.internals.dagster import BACKFILL_ID_TAG, make_new_run_id
from millpond.resources.instance import CODE_LOCATION
from millpond.resources.run import BACKFILL_TAG, accept_tags

_IDLE_SECONDS = 0.25
_BREAKS = (MillpondError, DagsterError, SQLAlchemyError, psycopg.Error, OSError)
"""What a run may break off with; anything else is a defect and ends the backfill."""


@dataclass(frozen=True)
class Told:
    """What a worker says: a step is `working`, a partition was `made`, partitions are `settled` for good.

    `reason` says why a step that failed is repeated.
    """

    kind: Literal["working", "made", "settled"]
    assets: tuple[str, ...] = ()
    settled: tuple[tuple[Key, Settled], ...] = ()
    rows: int | None = None
    reason: str = ""
    worker: int = 0


@dataclass
class Engine:
    """One worker of a backfill, in this process."""

    backfill: Backfill
    instance: dg.DagsterInstance
    tell: Callable[[Told], None]
    definitions: dg.Definitions | None = None
    max_failures: int | None = None
    worker: int = 0
    under_way: tuple[Claim, Record] | None = None

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
        """Run pieces until none is left, or more partitions failed than may."""
        while self.max_failures is None or chunks.failures(self.backfill.id) < self.max_failures:
            claim = chunks.claim(self.backfill.id, make_new_run_id())
            if claim:
                self.under_way = claim, Record()
                try:
                    self._run(*self.under_way)
                except KeyboardInterrupt:
                    self._settle_in_part(*self.under_way)
                    raise
                self.under_way = None
                continue
            left, wait = chunks.pending(self.backfill.id)
            if not left:
                return
            time.sleep(min(wait, 1.0) or _IDLE_SECONDS)

    def break_off(self) -> None:
        """Note down a run that does not end by itself; for a process that is about to."""
        if self.under_way:
            claim, record = self.under_way
            self._settle_in_part(claim, record)
            run = self.instance.get_run_by_id(claim.run_id)
            if run and not run.is_finished:
                self.instance.event_log_storage.free_concurrency_slots_for_run(claim.run_id)
                self.instance.report_run_canceled(run, message="Interrupted, and ended with its process.")

    def recover(self) -> None:
        """Settle what dead workers had under way by what Dagster has on record of their runs."""
        for claim in chunks.abandoned(self.backfill.id)[0]:
            self._settle_in_part(claim, recorded(self.instance, claim.run_id))

    def _settle_in_part(self, claim: Claim, record: Record) -> None:
        """Settle what a run completed that was broken off; the rest is to be claimed anew."""
        found = record.done()
        done = {key: found[key] for key in claim.piece.keys if key in found}
        rest = [key for key in claim.piece.keys if key not in done]
        early = claim.piece.assets if claim.piece.early else ()
        self._settle(claim, Verdict(done, grouped(rest, claim.piece.attempt, early)))

    def _run(self, claim: Claim, record: Record) -> None:
        ready, hopeless = self._inputs_made(claim.piece)
        failures: list[Failure] = []
        if ready.every:
            try:
                materialize(
                    ",".join(ready.every),
                    ready.window,
                    instance=self.instance,
                    on_event=lambda event: self._hear(record, event),
                    definitions=self.definitions,
                    ref=self.backfill.ref,
                    tags={
                        BACKFILL_TAG: self.backfill.id,
                        BACKFILL_ID_TAG: self.backfill.id,  # Dagster's pages go by this one
                        **accept_tags(self._accept_shrink),
                    },
                    run_id=claim.run_id,
                )
            except _BREAKS as error:
                record = recorded(self.instance, claim.run_id)
                unharmed, next_step = advice(str(error))
                name = type(error).__name__
                failures = [Failure(ready.every, name, str(error), unharmed=unharmed, next=next_step)]
        found = verdict(ready, record.done(), [*record.failures(), *failures], self._parents, self._had)
        self._settle(claim, replace(found, settled={**hopeless, **found.settled}))

    def _hear(self, record: Record, event: Progress) -> None:
        record.take(event)
        if event.kind in ("started", "retrying"):
            self.tell(Told("working", event.assets, reason=event.message, worker=self.worker))
        elif event.kind == "materialized":
            self.tell(Told("made", event.assets, rows=event.rows, worker=self.worker))

    def _settle(self, claim: Claim, found: Verdict) -> None:
        wait = backoff(claim.piece.attempt + 1) if found.passing else 0.0
        chunks.settle(self.backfill.id, claim, found.settled, found.again, wait)
        settled = tuple(found.settled.items())
        self.tell(Told("settled", claim.piece.every, settled, worker=self.worker))

    def _inputs_made(self, piece: Piece) -> tuple[Piece, dict[Key, Settled]]:
        """Return the piece without whole assets that read one of which no partition was ever made."""
        hopeless: dict[Key, Settled] = {}
        if whole := piece.whole if piece.window else piece.assets:
            inputs = sorted(set().union(*(self._parents[asset] for asset in whole)))
            states = chunks.states(self.backfill.id, inputs)
            for asset in _upstream_first(whole, self._parents):
                for parent in sorted(self._parents[asset]):
                    lost = hopeless.get((parent, None))
                    if lost is None and states.get(parent) and Part.DONE not in states[parent]:
                        lost = self._never_made(parent, states[parent])
                    if lost:
                        hopeless[asset, None] = lost
        kept = tuple(asset for asset in whole if (asset, None) not in hopeless)
        return replace(piece, whole=kept) if piece.window else replace(piece, assets=kept), hopeless

    def _never_made(self, asset: str, states: set[Part]) -> Settled | None:
        if Part.OPEN in states or self._had((asset, None)):
            return None
        if states == {Part.UNREACHABLE}:
            return Settled(Part.UNREACHABLE, f"no partition of {asset} is within reach")
        return Settled(Part.BLOCKED, f"waits for {asset}, of which no partition was made")

    def _had(self, key: Key) -> bool:
        """Return whether Dagster knows a materialization of the partition, or any of the asset."""
        asset, day = key
        if asset not in self._materialized:
            found = dg.AssetKey.from_user_string(asset)
            self._materialized[asset] = self.instance.get_materialized_partitions(found)
        return str(day) in self._materialized[asset] if day else bool(self._materialized[asset])


def _upstream_first(assets: tuple[str, ...], parents: dict[str, set[str]]) -> list[str]:
    ordered: list[str] = []

    def visit(asset: str) -> None:
        for parent in sorted(parents[asset] & set(assets)):
            visit(parent)
        if asset not in ordered:
            ordered.append(asset)

    for asset in assets:
        visit(asset)
    return ordered
