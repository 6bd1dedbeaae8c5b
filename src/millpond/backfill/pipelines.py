"""Which assets have nothing to do with each other, so that the days of each are cut into runs apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from millpond.backfill.staleness import Node

Pipelines = Mapping[str, frozenset[str]]
"""The pipelines of each asset by their names: an asset with days is in one, a whole one in those it reads."""


def pipelines(nodes: Iterable[Node]) -> dict[str, frozenset[str]]:
    """Return the pipelines of `nodes`, which come parents first."""
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
