"""Evaluates the state of each partition from Dagster's record alone, without reading sources or tables.

Versions are compared, not times: a day reloaded with the same content leaves everything downstream fresh.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from millpond.backfill.plan import WIPED_REASON, Item, State
from millpond.instance.provenance import Edge, whole
from millpond.instance.record import UNDONE, WIPED, Day, LatestMaterialization
from millpond.naming import pluralize
from millpond.partitions import instant

_REDONE = (State.FAILED, State.STALE)


@dataclass(frozen=True)
class Node:
    """An asset of a plan; `reach_days` is how far back its source serves data, None if unlimited.

    `kept_days` is how far back its days are kept, None if all are.
    """

    name: str
    daily: bool
    code: str | None = None
    edges: tuple[Edge, ...] = ()
    reach_days: int | None = None
    kept_days: int | None = None


@dataclass(frozen=True)
class FailedAttempt:
    """A failed attempt since the last success; `gone` if the source no longer serves the day."""

    why: str
    gone: bool = False


@dataclass(frozen=True)
class Recorded:
    """The latest materialization of each day, and the failures since."""

    made: Mapping[str, Mapping[Day, LatestMaterialization]]
    failed: Mapping[str, Mapping[Day, FailedAttempt]]


@dataclass(frozen=True)
class Requested:
    """What to plan; `force` includes fresh partitions, `stale_only` excludes missing ones."""

    assets: frozenset[str]
    days: Sequence[dt.date]
    force: bool = False
    stale_only: bool = False


def evaluate_partitions(
    nodes: Sequence[Node], recorded: Recorded, requested: Requested, now: dt.datetime, zone: ZoneInfo
) -> Iterator[Item]:
    """Yield the state of each requested partition, asset by asset.

    `nodes` are in topological order and include everything upstream of the requested assets.
    """
    evaluation = _Evaluation(recorded, requested, now, zone)
    for node in nodes:
        wanted = node.name in requested.assets
        for item in evaluation.items(node):
            if wanted:
                yield item


class _Evaluation:
    def __init__(self, recorded: Recorded, requested: Requested, now: dt.datetime, zone: ZoneInfo) -> None:
        self._recorded, self._requested, self._now, self._zone = recorded, requested, now, zone
        self._due: dict[str, set[Day]] = {}
        self._gone: dict[str, set[Day]] = {}
        self._versions: dict[str, dict[Day, str]] = {}
        self._whole: dict[str, str] = {}
        self._kept: dict[str, int] = {}

    def items(self, node: Node) -> Iterator[Item]:
        due, gone = self._due.setdefault(node.name, set()), self._gone.setdefault(node.name, set())
        made, failed = self._recorded.made.get(node.name, {}), self._recorded.failed.get(node.name, {})
        self._versions[node.name] = {day: one.version for day, one in made.items()}
        if node.kept_days:
            self._kept[node.name] = node.kept_days
        self._whole[node.name] = whole(self._versions[node.name])
        wanted = node.name in self._requested.assets
        days: Sequence[Day] = self._requested.days if node.daily else (None,)
        for day in days:
            one, failure = made.get(day), failed.get(day)
            state, reason = self._evaluate(node, day, one, failure)
            run = wanted and self._is_run(state)
            if why := self._why_not_kept(node, day):
                state, reason, run = _keep_partition(state, reason, one, why)
            elif one and self._is_wiped(node, day, one):
                state, reason, run = State.UNREACHABLE, WIPED_REASON, False
            elif (run or state is State.MISSING) and (why := self._why_unreachable(node, day, failure)):
                state, reason, run = _keep_partition(state, reason, one, why)
            if run and state is not State.FRESH:
                due.add(day)
            if state is State.UNREACHABLE and one is None:
                gone.add(day)
            yield Item(node.name, day, state, reason, run)

    def _why_not_kept(self, node: Node, day: Day) -> str | None:
        """Return why a day is too old to be built: its own retention, or that of what it is made from."""
        for name in (node.name, *(edge.parent for edge in node.edges if edge.look_back is not None)):
            kept = self._kept.get(name)
            if day and kept and day < self._now.astimezone(self._zone).date() - dt.timedelta(days=kept):
                return f"older than the retention of {name}, {pluralize(kept, 'day')}"
        return None

    def _is_wiped(self, node: Node, day: Day, made: LatestMaterialization) -> bool:
        """Return whether a day was wiped, and nothing that it is made from was materialized since."""
        above = [edge.parent for edge in node.edges if edge.look_back is not None]
        return made.version == WIPED and all(
            self._versions.get(parent, {}).get(day) == WIPED and day not in self._due.get(parent, set())
            for parent in above
        )

    def _is_run(self, state: State) -> bool:
        if state is State.FRESH:
            return self._requested.force
        return state in _REDONE or not self._requested.stale_only

    def _evaluate(
        self, node: Node, day: Day, made: LatestMaterialization | None, failed: FailedAttempt | None
    ) -> tuple[State, str]:
        if failed and not failed.gone:
            return State.FAILED, f"the last attempt failed: {failed.why}"
        if made is None:
            return State.MISSING, "not materialized"
        if made.version == UNDONE:
            return State.MISSING, "undone, and not materialized since"
        if made.version == WIPED:
            return State.MISSING, "wiped, and not materialized since"
        if node.code and made.code != node.code:
            return (
                State.STALE,
                "its code changed" if made.code else "the code version that built it is not recorded",
            )
        if day and not node.edges and self._was_unfinished(day, made):
            return State.STALE, "loaded before the day ended"
        inputs = made.inputs if node.edges else {}
        for edge in node.edges:
            if why := self._why_changed(edge, day, made, inputs.get(edge.parent)):
                return State.STALE, why
        return State.FRESH, "up to date"

    def _was_unfinished(self, day: dt.date, made: LatestMaterialization) -> bool:
        end = instant(day + dt.timedelta(days=1), self._zone)
        return made.unfinished or (made.at is not None and made.at.replace(tzinfo=dt.UTC) < end)

    def _why_changed(
        self, edge: Edge, day: Day, made: LatestMaterialization, recorded: str | None
    ) -> str | None:
        """Return how the parent of `edge` differs from what `day` was built from; None if it does not."""
        if recorded is None:
            return f"not built from {edge.parent} yet"
        versions, todo = self._versions.get(edge.parent, {}), self._due.get(edge.parent, set())
        if edge.look_back is None:
            return self._why_whole_changed(edge.parent, recorded, made, todo)
        now = edge.version(versions, day)
        if now != recorded:
            then, is_now = recorded.split(","), now.split(",")
            changed = [
                one
                for one, old, new in zip(edge.days(day), then, is_now, strict=False)
                if old != new or len(then) != len(is_now)
            ]
            return f"{edge.parent} of {changed[0]} changed"
        again = next((one for one in edge.days(day) if one in todo), None) if todo else None
        return f"{edge.parent} of {again} will be rebuilt" if again else None

    def _why_whole_changed(
        self, parent: str, recorded: str, made: LatestMaterialization, todo: set[Day]
    ) -> str | None:
        if recorded != self._whole.get(parent, whole({})):
            since = [
                day
                for day, one in self._recorded.made.get(parent, {}).items()
                if day is not None and one.id > made.id
            ]
            return f"{parent} changed{_format_days(since)}"
        return (
            f"{parent} will be rebuilt{_format_days(day for day in todo if day is not None)}"
            if todo
            else None
        )

    def _why_unreachable(self, node: Node, day: Day, failed: FailedAttempt | None) -> str | None:
        """Return why a partition cannot be built: its source or that of all parents no longer serves it."""
        if failed and failed.gone:
            return "the source no longer served it at the last attempt"
        if node.reach_days and day:
            oldest = self._now - dt.timedelta(days=node.reach_days)
            if instant(day, self._zone) < oldest:
                return f"the source only serves the last {pluralize(node.reach_days, 'day')}"
        if day:
            parents = [edge.parent for edge in node.edges if edge.look_back is not None]
            if parents and all(day in self._gone.get(parent, ()) for parent in parents):
                return f"{' and '.join(parents)} of {day} is no longer available"
            return None
        gone = [edge.parent for edge in node.edges if self._is_gone(edge.parent)]
        return f"{' and '.join(gone)} is no longer available" if gone else None

    def _is_gone(self, parent: str) -> bool:
        return bool(self._gone.get(parent)) and not self._versions.get(parent) and not self._due.get(parent)


def _keep_partition(
    state: State, reason: str, made: LatestMaterialization | None, why: str
) -> tuple[State, str, bool]:
    """Return the state of a partition that cannot be built any longer."""
    if made is None:
        return State.UNREACHABLE, why, False
    if state is State.FRESH:
        return state, f"kept: {why}", False
    return State.UNREACHABLE, f"kept, {reason}: {why}", False


def _format_days(days: Iterator[dt.date] | Sequence[dt.date]) -> str:
    found = sorted(days)
    if not found:
        return ""
    if len(found) == 1:
        return f" for {found[0]}"
    return f" for {len(found)} days from {found[0]} to {found[-1]}"
