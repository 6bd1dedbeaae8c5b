"""Splits a plan into runs: consecutive days with the same assets, as many as memory allows."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import groupby

from millpond.backfill.plan import Chunk, Item
from millpond.backfill.staleness import Node
from millpond.partitions import Window

Pipelines = Mapping[str, frozenset[str]]
"""Names of the pipelines of each asset: a daily asset is in one, a whole asset in those of its parents."""


def find_pipelines(nodes: Iterable[Node]) -> dict[str, frozenset[str]]:
    """Return the pipelines of `nodes`, which are in topological order."""
    every = list(nodes)
    name_of = {node.name: node.name for node in every if node.daily}
    for node in every:
        for edge in node.edges:
            if node.name in name_of and edge.parent in name_of:
                ours, theirs = name_of[node.name], name_of[edge.parent]
                name_of |= {asset: theirs for asset, name in name_of.items() if name == ours}
    found = {asset: frozenset({name}) for asset, name in name_of.items()}
    for node in every:
        if not node.daily:
            found[node.name] = frozenset().union(*(found.get(e.parent, frozenset()) for e in node.edges))
    return found


ROWS_A_CHUNK = 500_000
"""Rows of its largest asset that a run may hold."""
MOST_DAYS = 366
DAYS_WITHOUT_HISTORY = 92
_ONE_DAY = dt.timedelta(days=1)


def choose_chunk_days(rows_a_day: float | None) -> int:
    """Return the days of a run for the rows that a day of its largest asset has, None if unknown."""
    if rows_a_day is None:
        return DAYS_WITHOUT_HISTORY
    return max(1, min(MOST_DAYS, int(ROWS_A_CHUNK / max(rows_a_day, 1e-9))))


def split_into_chunks(
    todo: Iterable[Item],
    order: Sequence[str],
    most_days: int,
    first: AbstractSet[str] = frozenset(),
    pipelines: Pipelines | None = None,
) -> Iterator[Chunk]:
    """Yield runs that cover exactly `todo`, each of at most `most_days` days, in the order of days.

    Pipelines are split independently of each other; without `pipelines`, all assets are in one. Assets
    without partitions come last, in one run, except those in `first`, which come before all others. Within a
    run, assets are in the given `order`.
    """
    place = {name: number for number, name in enumerate(order)}
    days: defaultdict[frozenset[str], defaultdict[dt.date, set[str]]] = defaultdict(lambda: defaultdict(set))
    whole: list[str] = []
    for item in todo:
        if item.partition is None:
            whole.append(item.asset)
        else:
            days[(pipelines or {}).get(item.asset, frozenset())][item.partition].add(item.asset)
    of_days: defaultdict[Window, set[str]] = defaultdict(set)
    for assets_of in days.values():
        for window, same in _group_days({day: frozenset(assets) for day, assets in assets_of.items()}):
            for days_of_run in window.chunks(most_days):
                of_days[days_of_run] |= same
    parts: list[tuple[Iterable[str], Window | None]] = [([a for a in whole if a in first], None)]
    parts += [(of_days[window], window) for window in sorted(of_days)]
    parts.append(([a for a in whole if a not in first], None))
    number = 0
    for assets, part in parts:
        if names := tuple(sorted(assets, key=place.__getitem__)):
            number += 1
            yield Chunk(number, names, part)


def merge_whole_assets(chunks: Sequence[Chunk], pipelines: Pipelines) -> list[Chunk]:
    """Return the runs, with each whole asset of the last run moved to the last run of its upstream days.

    This saves a run, which takes at least a second.
    """
    *before, last = chunks
    if last.window or not before or not before[-1].window:
        return list(chunks)
    within = [frozenset().union(*(pipelines.get(a, frozenset()) for a in c.assets)) for c in before]
    place: dict[str, int] = {}
    for asset in last.assets:
        ours = pipelines.get(asset, frozenset())
        found = [n for n, chunk in enumerate(before) if chunk.window and within[n] & ours]
        if found:
            place[asset] = found[-1]
    # Any of the others may depend on an asset without upstream days.
    earliest = min(place.values(), default=len(before) - 1)
    return [
        replace(chunk, whole=tuple(asset for asset in last.assets if place.get(asset, earliest) == n))
        for n, chunk in enumerate(before)
    ]


def _group_days(assets_of: dict[dt.date, frozenset[str]]) -> Iterator[tuple[Window, frozenset[str]]]:
    """Yield the longest windows of consecutive days with the same assets."""
    ordered = enumerate(sorted(assets_of))
    for (_, assets), found in groupby(ordered, lambda at: (at[1] - at[0] * _ONE_DAY, assets_of[at[1]])):
        days = [day for _, day in found]
        yield Window.of_days(days[0], days[-1]), assets
