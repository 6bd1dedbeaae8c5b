"""What a run did to the partitions of a piece, from its events: as they happen, or from Dagster's record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, EventLogEntry

from millpond.backfill.counts import numbers_of
from millpond.backfill.engine_verdict import Failure
from millpond.backfill.ledger_chunks import Part, Settled
from millpond.backfill.pieces import Key
from millpond.backfill.progress import Progress, RunProgress
from millpond.internals.dagster import StepMaterializationData
from millpond.partitions import RANGE_SEPARATOR, Window, parse_day


@dataclass
class Record:
    """Collects the progress of one run."""

    made: dict[Key, Progress] = field(default_factory=dict)
    failed: list[Progress] = field(default_factory=list)
    skipped: dict[Key, Progress] = field(default_factory=dict)
    """Days that a source serves no more."""
    refuted: list[Progress] = field(default_factory=list)
    """Blocking checks that did not pass."""

    def take(self, event: Progress) -> None:
        """Take in what happened."""
        if event.kind == "materialized":
            self.made[event.asset, parse_day(event.partition) if event.partition else None] = event
        elif event.kind == "skipped":
            self.skipped[event.asset, parse_day(event.partition) if event.partition else None] = event
        elif event.kind == "failed":
            self.failed.append(event)
        elif event.kind == "checked" and not event.passed and not event.warning:
            self.refuted.append(event)

    def done(self) -> dict[Key, Settled]:
        """Return what was skipped, and what was made but for assets whose blocking checks did not pass."""
        doubted = {event.asset for event in self.refuted}
        made = {key: _settled(event) for key, event in self.made.items() if key[0] not in doubted}
        return {key: Settled(Part.UNREACHABLE, event.message) for key, event in self.skipped.items()} | made

    def failures(self) -> Iterator[Failure]:
        """Yield why the rest was not made, what is about certain days first."""
        for event in self.failed:
            for days in event.days:
                yield Failure(
                    event.assets, days.error, days.reason, _window(days.days), days.unharmed, days.next
                )
            if not event.days:
                yield Failure(
                    event.assets, event.error, event.message, unharmed=event.unharmed, next=event.next
                )
        for event in self.refuted:
            yield Failure(event.assets, "check", f"check {event.check} did not pass: {event.message}")


def recorded(instance: DagsterInstance, run_id: str) -> Record:
    """Return what Dagster has on record of a run, whoever executed it and however it ended."""
    record = Record()
    progress = RunProgress(record.take)
    for entry in instance.all_logs(run_id):
        progress(_as_on_main(entry))
    return record


def _as_on_main(entry: EventLogEntry) -> EventLogEntry:
    """Return an event as the run had it: on a branch, materializations are kept as observations."""
    event = entry.dagster_event
    if event is None or event.event_type != DagsterEventType.ASSET_OBSERVATION:
        return entry
    seen = event.asset_observation_data.asset_observation
    if "ref" not in seen.metadata:
        return entry
    return entry._replace(dagster_event=_materialized(event, seen))


def _materialized(event: DagsterEvent, seen: Any) -> DagsterEvent:
    from dagster import AssetMaterialization

    made = AssetMaterialization(seen.asset_key, metadata=seen.metadata, partition=seen.partition)
    return event._replace(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        event_specific_data=StepMaterializationData(made),
    )


def _settled(event: Progress) -> Settled:
    numbers: Mapping[str, float] = event.numbers
    return Settled(Part.DONE, rows=event.rows, seconds=numbers.get("seconds"), **numbers_of(numbers))


def _window(days: str) -> Window:
    first, _, last = days.partition(RANGE_SEPARATOR)
    return Window.of_days(parse_day(first), parse_day(last or first))
