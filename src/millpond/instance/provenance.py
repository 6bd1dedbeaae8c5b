"""The inputs of each day of an asset: for each parent, the versions of the days it depends on.

Dagster records one version for all days of a run, which does not show which of them a later change affects.
Here each day has its own, read before the step reads any data, so that a change in between counts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from millpond.instance.record import Day, read_versions
from millpond.internals.dagster import AssetGraph, get_input_data_version_tag
from millpond.partitions import Window

_NOTHING = "-"
"""The version of a day that does not exist."""


@dataclass(frozen=True)
class Edge:
    """A dependency on `parent`: on the same day and `look_back` days before it, or (None) on all of it."""

    parent: str
    look_back: int | None

    def version(self, of_parent: Mapping[Day, str], day: Day) -> str:
        """Return the version of the parent's state that `day` is built from."""
        if self.look_back is None:
            return whole(of_parent)
        if not self.look_back:
            return of_parent.get(day, _NOTHING)
        return ",".join(of_parent.get(one, _NOTHING) for one in self.days(day))

    def days(self, day: Day) -> list[dt.date]:
        """Return the days of the parent that `day` depends on; empty if it depends on all of it."""
        if self.look_back is None or day is None:
            return []
        return [day - dt.timedelta(days=n) for n in range(self.look_back, -1, -1)]


def whole(of_parent: Mapping[Day, str]) -> str:
    """Return the version of a whole asset: its own, or a hash of those of all its days."""
    if set(of_parent) <= {None}:
        return of_parent.get(None, _NOTHING)
    days = sorted((day, version) for day, version in of_parent.items() if day is not None)
    return hashlib.sha256("\n".join(f"{day}={version}" for day, version in days).encode()).hexdigest()


def edges(graph: AssetGraph, asset: str) -> list[Edge]:
    """Return the dependencies of an asset, sorted by name."""
    node = graph.get(dg.AssetKey.from_user_string(asset))
    found = []
    for key in sorted(node.parent_keys):
        look_back = None
        if node.is_partitioned and graph.get(key).is_partitioned:
            mapping = node.partition_mappings.get(key)
            offset = mapping.start_offset if isinstance(mapping, dg.TimeWindowPartitionMapping) else 0
            look_back = -offset
        found.append(Edge(key.to_user_string(), look_back))
    return found


class Inputs:
    """The versions of the inputs of a step's assets, as they were when it began."""

    def __init__(self, edges_of: Mapping[str, list[Edge]], known: Mapping[str, Mapping[Day, str]]) -> None:
        self._edges = edges_of
        self._versions = {asset: dict(days) for asset, days in known.items()}

    @classmethod
    def before(
        cls, context: dg.AssetExecutionContext, assets: Iterable[str], ref: str, window: Window | None = None
    ) -> Inputs:
        """Return the inputs of `assets` on `ref`; call it before any data is read.

        `window` are the days of daily assets.
        """
        graph = context.job_def.asset_layer.asset_graph
        found = {asset: edges(graph, asset) for asset in assets}
        every = [edge for of_one in found.values() for edge in of_one]
        back = max((edge.look_back or 0 for edge in every), default=0)
        # A change affects as many later days as a model looks back.
        first = window.start - dt.timedelta(days=back) if window else None
        last = window.last + dt.timedelta(days=back) if window else None
        wholly = {edge.parent for edge in every if edge.look_back is None}
        by_day = {edge.parent for edge in every} - wholly
        return cls(found, read_versions(context.instance, by_day, ref, first, last, wholly) if every else {})

    def record(self, asset: str, now: Mapping[Day, str]) -> None:
        """Record the versions of days that the step itself made, for its other assets."""
        self._versions.setdefault(asset, {}).update(now)

    def tags(self, asset: str, day: Day = None) -> dict[str, str]:
        """Return the tags with the input versions of a day or (None) of a whole asset."""
        return {
            get_input_data_version_tag(dg.AssetKey.from_user_string(edge.parent)): edge.version(
                self._versions.get(edge.parent, {}), day
            )
            for edge in self._edges.get(asset, ())
        }
