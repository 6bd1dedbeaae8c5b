"""Dagster's record is that of main: materializations on another ref are stored as observations.

Dagster has one state for each asset. A materialization on a branch would make main's partitions look fresh, a
failure would make them look failed. An observation changes neither.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from dagster import AssetObservation, DagsterEvent, DagsterEventType, EventLogEntry, RunsFilter

from millpond.instance.event_log import HomeEventLogStorage
from millpond.internals.dagster import AssetObservationData
from millpond.internals.dagster_on_demand import RunStorage
from millpond.naming import MAIN_REF
from millpond.resources.run import ref_of

_STATE_EVENTS = (
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
)
"""Events whose only effect is on the state of an asset."""


_RUNS = 256
"""How many runs' refs are cached."""


class RefEventLogStorage(HomeEventLogStorage):
    """The event log, in which only main changes the state of assets and checks.

    Results of checks on another ref stay in the log of their run.
    """

    def __init__(self, postgres_url: str, runs: RunStorage, autocreate: bool) -> None:
        self._runs = runs
        self._refs: OrderedDict[str, str] = OrderedDict()
        super().__init__(postgres_url, autocreate)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, converted for the ref of its run."""
        if (kept := convert_for_ref(event, self._find_ref(event.run_id))) is not None:
            super().store_event(kept)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of a run in order, converted for its ref."""
        kept = [convert_for_ref(event, self._find_ref(event.run_id)) for event in events]
        super().store_event_batch([event for event in kept if event is not None])

    def store_asset_check_event(self, event: EventLogEntry, event_id: int | None) -> None:
        """Record the result of a check for its asset if its run is on main."""
        if self.defines_state(event):
            super().store_asset_check_event(event, event_id)

    def defines_state(self, event: EventLogEntry) -> bool:
        """Return whether the run of a check's event is on main."""
        return self._find_ref(event.run_id) == MAIN_REF

    def _find_ref(self, run_id: str) -> str:
        if run_id not in self._refs:
            found = self._runs.get_runs(RunsFilter(run_ids=[run_id]), limit=1) if run_id else []
            if not found:
                return MAIN_REF
            self._refs[run_id] = ref_of(found[0].tags)
            if len(self._refs) > _RUNS:
                self._refs.popitem(last=False)
        return self._refs[run_id]


def convert_for_ref(entry: EventLogEntry, ref: str) -> EventLogEntry | None:
    """Return the event to store for a run on `ref`; None if it is not stored."""
    event = entry.dagster_event
    if ref == MAIN_REF or event is None:
        return entry
    if event.event_type in _STATE_EVENTS:
        return None
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        return entry._replace(dagster_event=_to_observation(event, ref))
    return entry


def _to_observation(event: DagsterEvent, ref: str) -> DagsterEvent:
    made = event.step_materialization_data.materialization
    observation = AssetObservation(
        made.asset_key,
        description=made.description,
        metadata={**made.metadata, "ref": ref},
        partition=made.partition,
        tags=made.tags,
    )
    return event._replace(
        event_type_value=DagsterEventType.ASSET_OBSERVATION.value,
        event_specific_data=AssetObservationData(observation),
        message=f"Materialized {made.asset_key.to_user_string()} on ref {ref}.",
    )
