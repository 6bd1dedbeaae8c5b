"""What a run leaves out of its days, in sentences: days that were wiped, and those older than a retention."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import NamedTuple

import dagster as dg
from dagster import DagsterInstance

from millpond.errors import RefNotFound
from millpond.instance.record import RETENTION, WIPED, read_versions
from millpond.internals.dagster import AssetGraph
from millpond.partitions import Window, contiguous, today
from millpond.resources.run import read_accept_tag
from millpond.settings import settings


def find_oldest_kept(graph: AssetGraph, key: dg.AssetKey) -> dt.date | None:
    """Return the oldest day that an asset keeps; None if it keeps all."""
    declared = graph.get(key).metadata.get(RETENTION)
    if declared is None:
        return None
    days = declared.value if isinstance(declared, dg.IntMetadataValue) else declared
    return today(settings().zone) - dt.timedelta(days=int(str(days)))


class LeftOut(NamedTuple):
    """A sentence for each asset that leaves out days, whether some were `wiped`, and whether it is `all`."""

    sentences: tuple[str, ...] = ()
    wiped: bool = False
    all: bool = False


def describe_left_out(
    instance: DagsterInstance,
    graph: AssetGraph,
    keys: Collection[dg.AssetKey],
    window: Window,
    ref: str,
    tags: Mapping[str, str],
) -> LeftOut:
    """Return what the selected assets that load days leave out of `window`."""
    loading = [key for key in keys if graph.get(key).is_partitioned and not graph.get(key).parent_keys]
    names = [key.to_user_string() for key in loading]
    try:
        versions = read_versions(instance, names, ref, window.start, window.last) if names else {}
    except RefNotFound:  # of which the run says more
        return LeftOut()
    said, any_wiped, loads = list[str](), False, not loading
    for key, name in zip(loading, names, strict=True):
        oldest = find_oldest_kept(graph, key)
        if oldest and window.start < oldest:
            said.append(f"{name}: days before {oldest} are older than its retention, and are not loaded")
        wiped = [day for day, version in versions[name].items() if day and version == WIPED]
        wiped = [] if read_accept_tag(tags) == "wiped" else wiped
        if wiped:
            any_wiped, days = True, ", ".join(map(str, contiguous(wiped)))
            said.append(f"{name}: {days} was wiped, and is not loaded; --accept-wiped loads it again")
        loads |= any(day not in wiped and not (oldest and day < oldest) for day in window.days)
    return LeftOut(tuple(said), any_wiped, not loads)
