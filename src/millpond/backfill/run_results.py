"""Evaluates a run: the outcome of each partition from its events, and what runs again in smaller pieces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, EventLogEntry

from millpond.backfill.ledger_chunks import Outcome, PartitionState
from millpond.backfill.pieces import Key, Piece, group_pieces, read_counts
from millpond.internals.dagster import StepMaterializationData
from millpond.partitions import Window, parse_day
from millpond.runs.progress import Progress, RunProgress

ATTEMPTS = 3
"""How often a piece with a transient failure is run."""

_BEYOND_REACH = "BeyondReach"
_OF_ONE_DAY = {
    *("TooManyBadRows", "FieldsMissing", "FieldsUnknown", "FilesMissing", "NoRows"),
    *("RowsHeldBack", "NothingHeld"),
    _BEYOND_REACH,
}
"""Errors that name exactly the days they apply to."""
_OF_DAYS_TOGETHER = {"TimesUnreadable"}
"""Errors that a day may have only because it was requested together with others."""
_TRANSIENT = {
    "SourceUnreachable",
    "SourceLimited",
    "LockTimeout",
    "PartitionConflict",
    "MergeConflict",
    "OutcomeUnknown",
    "StorageFailed",
    "EmbeddedPartError",
    "PublishFailed",
    "MartsHeld",
    "OperationalError",
    "InterfaceError",
    "DisconnectionError",
    "ConnectionError",
}
_OF_EVERY_DAY = {
    "ConfigError",
    "NoSourceAddress",
    "OriginChanged",
    "ZoneChanged",
    "SourceRefused",
    "SourceMissing",
    "BreakerOpen",
    "InputMissing",
    "RefNotFound",
    *_TRANSIENT,
}
"""Errors that a smaller run does not avoid."""


@dataclass(frozen=True)
class Failure:
    """Why `assets` failed for the days of `window`; None for all days of the piece."""

    assets: tuple[str, ...]
    error: str
    reason: str
    window: Window | None = None
    unharmed: str = ""
    next: str = ""


@dataclass(frozen=True)
class RunResults:
    """`settled` outcomes are final; `again` runs again, after a pause if the cause is `transient`."""

    settled: dict[Key, Outcome]
    again: list[Piece]
    transient: bool = False


class _Action(Enum):
    AGAIN = auto()
    HALVE = auto()


@dataclass
class _Evaluation:
    piece: Piece
    done: Mapping[Key, Outcome]
    failures: Collection[Failure]
    parents: Mapping[str, Collection[str]]
    has_before: Callable[[Key], bool]
    outcomes: dict[Key, Outcome | _Action] = field(default_factory=dict)
    transient: bool = False

    def resolve(self, key: Key) -> Outcome | _Action:
        if key not in self.outcomes:
            self.outcomes[key] = self.done.get(key) or self._from_failures(key) or self._from_upstream(key)
        return self.outcomes[key]

    def _from_failures(self, key: Key) -> Outcome | _Action | None:
        asset, day = key
        for failure in self.failures:
            if asset not in failure.assets or (failure.window and day and day not in failure.window):
                continue
            if asset in self.piece.whole and failure.error not in _OF_EVERY_DAY:
                return _Action.AGAIN  # without the days of the run, which may be what failed
            if failure.error == _BEYOND_REACH:
                return Outcome(PartitionState.UNREACHABLE, failure.reason)
            if failure.error in _TRANSIENT and self.piece.attempt + 1 < ATTEMPTS:
                self.transient = True
                return _Action.AGAIN
            if failure.error in _OF_ONE_DAY | _OF_EVERY_DAY or self._days_of(failure) <= 1:
                return Outcome(
                    PartitionState.FAILED, failure.reason, unharmed=failure.unharmed, next=failure.next
                )
            return _Action.HALVE
        return None

    def _days_of(self, failure: Failure) -> int:
        together = failure.error in _OF_DAYS_TOGETHER
        return len((None if together else failure.window) or self.piece.window or ())

    def _from_upstream(self, key: Key) -> Outcome | _Action:
        asset, day = key
        beside = self.piece.whole if asset in self.piece.whole else self.piece.assets
        upstream = {parent: self.resolve((parent, day)) for parent in self.parents[asset] if parent in beside}
        for unsettled in (_Action.HALVE, _Action.AGAIN):
            if unsettled in upstream.values():
                return unsettled
        for parent, outcome in upstream.items():
            if isinstance(outcome, Outcome) and outcome.state in (
                PartitionState.FAILED,
                PartitionState.BLOCKED,
            ):
                where = f" of {day}" if day else ""
                return Outcome(PartitionState.BLOCKED, f"waits for {parent}{where}, which failed")
        for parent, outcome in upstream.items():
            if (
                isinstance(outcome, Outcome)
                and outcome.state == PartitionState.UNREACHABLE
                and not self.has_before((parent, day))
            ):
                return Outcome(
                    PartitionState.UNREACHABLE, f"{parent} of {day} is no longer available from its source"
                )
        return _Action.AGAIN


def evaluate_run(
    piece: Piece,
    done: Mapping[Key, Outcome],
    failures: Collection[Failure],
    parents: Mapping[str, Collection[str]],
    has_before: Callable[[Key], bool],
) -> RunResults:
    """Return the results of a run of `piece` with the outcomes `done` and the `failures`.

    A failure that names its days settles them. A transient one is tried again, `ATTEMPTS` times in all. Any
    other is found by bisection, so that good days are loaded and the bad day is settled with the reason.
    What did not run because of a parent runs again if that parent succeeded or was materialized before, see
    `has_before`. `parents` are the parents of each asset.
    """
    evaluation = _Evaluation(piece, done, failures, parents, has_before)
    outcomes = {key: evaluation.resolve(key) for key in piece.keys}
    settled = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Outcome)}
    halve = [key for key, outcome in outcomes.items() if outcome is _Action.HALVE]
    rest = [key for key, outcome in outcomes.items() if outcome is _Action.AGAIN]
    if rest and not settled and not halve and not evaluation.transient and piece.attempt + 1 >= ATTEMPTS:
        lost = Outcome(PartitionState.FAILED, "its run ended without an event about it")
        return RunResults(dict.fromkeys(rest, lost), [])
    attempt = piece.attempt + 1 if evaluation.transient or not settled else piece.attempt
    again = [half for found in group_pieces(halve) for half in found.halves()]
    again += group_pieces(rest, attempt, piece.assets if piece.early else ())
    return RunResults(settled, again, evaluation.transient)


@dataclass
class RunRecord:
    """Collects the progress of one run."""

    made: dict[Key, Progress] = field(default_factory=dict)
    failed: list[Progress] = field(default_factory=list)
    skipped: dict[Key, Progress] = field(default_factory=dict)
    """Days that a source no longer serves."""
    refuted: list[Progress] = field(default_factory=list)
    """Blocking checks that failed."""

    def take(self, event: Progress) -> None:
        """Add an event."""
        if event.kind == "materialized":
            self.made[event.asset, parse_day(event.partition) if event.partition else None] = event
        elif event.kind == "skipped":
            self.skipped[event.asset, parse_day(event.partition) if event.partition else None] = event
        elif event.kind == "failed":
            self.failed.append(event)
        elif event.kind == "checked" and not event.passed and not event.warning:
            self.refuted.append(event)

    def done(self) -> dict[Key, Outcome]:
        """Return what was skipped, and what was materialized without a failed blocking check."""
        refused = {event.asset for event in self.refuted}
        made = {key: _to_outcome(event) for key, event in self.made.items() if key[0] not in refused}
        return {
            key: Outcome(PartitionState.UNREACHABLE, event.message) for key, event in self.skipped.items()
        } | made

    def failures(self) -> Iterator[Failure]:
        """Yield the failures, those of certain days first."""
        for event in self.failed:
            for days in event.days:
                yield Failure(
                    event.assets, days.error, days.reason, Window.parse(days.days), days.unharmed, days.next
                )
            if not event.days:
                yield Failure(
                    event.assets, event.error, event.message, unharmed=event.unharmed, next=event.next
                )
        for event in self.refuted:
            yield Failure(event.assets, "check", f"check {event.check} failed: {event.message}")


def read_run(instance: DagsterInstance, run_id: str) -> RunRecord:
    """Return Dagster's record of a run, whichever process executed it."""
    record = RunRecord()
    progress = RunProgress(record.take)
    for entry in instance.all_logs(run_id):
        progress(_restore_materialization(entry))
    return record


def _restore_materialization(entry: EventLogEntry) -> EventLogEntry:
    """Return the event as a materialization; on a branch, they are stored as observations."""
    event = entry.dagster_event
    if event is None or event.event_type != DagsterEventType.ASSET_OBSERVATION:
        return entry
    seen = event.asset_observation_data.asset_observation
    if "ref" not in seen.metadata:
        return entry
    return entry._replace(dagster_event=_to_materialization(event, seen))


def _to_materialization(event: DagsterEvent, seen: Any) -> DagsterEvent:
    from dagster import AssetMaterialization

    made = AssetMaterialization(seen.asset_key, metadata=seen.metadata, partition=seen.partition)
    return event._replace(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        event_specific_data=StepMaterializationData(made),
    )


def _to_outcome(event: Progress) -> Outcome:
    numbers: Mapping[str, float] = event.numbers
    return Outcome(
        PartitionState.DONE, rows=event.rows, seconds=numbers.get("seconds"), **read_counts(numbers)
    )
