"""Dagster's record of the tables of a rebuilt catalog: a materialization of each day that is there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from millpond.backup.loading import Report
from millpond.backup.rebuild import Content, read_content
from millpond.instance.home import open_instance
from millpond.instance.promotion import report_materializations
from millpond.instance.provenance import Inputs, edges
from millpond.instance.record import UNFINISHED_TAG, Day
from millpond.internals.dagster import CODE_VERSION_TAG, DATA_VERSION_TAG, AssetGraph
from millpond.lake.hashing import Digest, hash_digests
from millpond.naming import MAIN_REF
from millpond.partitions import Window, latest_complete_day
from millpond.publish.assets import GROUP
from millpond.runs.progress import RunOutcome
from millpond.runs.run import materialize
from millpond.settings import settings

REBUILT = "rebuilt"
"""Metadata of a materialization that no run made."""


def record_tables(definitions: dg.Definitions, pointers: Mapping[str, str], report: Report) -> int:
    """Record a materialization of each asset and day whose rows are in a table; returns how many.

    Each day counts as built by the present code from what its inputs have now.
    """
    graph = definitions.resolve_asset_graph()
    tables = {key: str(graph.get(key).metadata.get("dagster/table_name", "")) for key in _list_assets(graph)}
    there = {key: table for key, table in tables.items() if table in pointers}
    content: dict[dg.AssetKey, Content] = {}
    for number, (key, table) in enumerate(there.items(), 1):
        report(f"reading {table} ({number} of {len(there)})")
        content[key] = read_content(table, pointers[table])
    versions = {
        key.to_user_string(): _get_versions(found, daily=graph.get(key).is_partitioned)
        for key, found in content.items()
    }
    inputs = Inputs({name: edges(graph, name) for name in versions}, versions)
    made = [
        _describe(key, day, version, found, graph.get(key).code_version, inputs)
        for key, found in content.items()
        for day, version in versions[key.to_user_string()].items()
    ]
    with open_instance() as instance:
        return report_materializations(instance, made)


def publish_marts(definitions: dg.Definitions, pointers: Mapping[str, str]) -> RunOutcome | None:
    """Publish every mart whose table is there; None if there is none."""
    graph = definitions.resolve_asset_graph()
    marts = [
        key.to_user_string()
        for key in _list_assets(graph)
        if key.path[0] == GROUP
        and {str(graph.get(p).metadata.get("dagster/table_name", "")) for p in graph.get(key).parent_keys}
        <= pointers.keys()
    ]
    if not marts:
        return None
    today = Window.of_day(latest_complete_day(settings().zone))
    selection = " or ".join(f'key:"{mart}"' for mart in sorted(marts))
    return materialize(selection, today, definitions=definitions, ref=MAIN_REF)


def _list_assets(graph: AssetGraph) -> list[dg.AssetKey]:
    return [key for key in graph.toposorted_asset_keys if graph.get(key).is_materializable]


def _get_versions(content: Content, *, daily: bool) -> dict[Day, str]:
    """Return the data version of each day, also of those that were loaded and are empty."""
    if not daily:
        return {None: hash_digests(content.digests)}
    days = {day for day in content.digests if day is not None} | content.written.keys()
    return {day: content.digests.get(day, Digest()).hex for day in sorted(days)}


def _describe(
    key: dg.AssetKey, day: Day, version: str, content: Content, code: str | None, inputs: Inputs
) -> dg.AssetMaterialization:
    rows = content.digests.get(day, Digest()).rows if day else content.rows
    tags = {DATA_VERSION_TAG: version, **inputs.tags(key.to_user_string(), day)}
    if code:
        tags[CODE_VERSION_TAG] = code
    written = content.written.get(day) if day else None
    if day and written and written < Window.of_day(day).bounds(settings().zone)[1]:
        tags[UNFINISHED_TAG] = "true"
    return dg.AssetMaterialization(
        key,
        description="found in the warehouse when the catalog was made again",
        metadata={
            "dagster/partition_row_count" if day else "dagster/row_count": rows,
            "snapshot_id": str(content.snapshot),
            "ref": MAIN_REF,
            REBUILT: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        },
        partition=str(day) if day else None,
        tags=tags,
    )
