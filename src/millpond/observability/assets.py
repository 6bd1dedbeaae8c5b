"""What assets there are: layer, sources, owners, days and how old each may become."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import dagster as dg

from millpond.instance.record import REACH
from millpond.internals.dagster import AssetGraph
from millpond.resources.run import MAINTENANCE
from millpond.runs.selection import has_other_partitions

LAYERS = ("raw", "bronze", "silver", "gold", "marts")
"""The layers in the order of the data's way; assets of a project's own may have other groups."""


@dataclass(frozen=True)
class Asset:
    """An asset as declared.

    `sources` are those that it is made from, `parents` its inputs. `daily` is false for assets without
    partitions and for those with partitions of another kind. `warn` and `fail` are the ages of its freshness
    policy, None without one; `reach_days` is how far back its source serves data. Of `sensitive` columns no
    value is shown.
    """

    name: str
    layer: str
    sources: frozenset[str] = frozenset()
    owners: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    daily: bool = False
    warn: dt.timedelta | None = None
    fail: dt.timedelta | None = None
    reach_days: int | None = None
    table: str = ""
    description: str = ""
    sensitive: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Filter:
    """Which assets are shown; an empty set means all of them."""

    sources: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()

    def select(self, assets: Iterable[Asset]) -> list[Asset]:
        """Return those of `assets` that are shown."""
        return [each for each in assets if self._shows(each)]

    def _shows(self, asset: Asset) -> bool:
        chosen = (
            (self.sources, asset.sources),
            (self.layers, {asset.layer}),
            (self.owners, set(asset.owners)),
        )
        return all(not wanted or wanted & has for wanted, has in chosen)


def list_assets(
    definitions: dg.Definitions, sensitive: Mapping[str, frozenset[str]] | None = None
) -> list[Asset]:
    """Return the assets of data that can be materialized, inputs before what is made from them.

    `sensitive` names sensitive columns by asset.
    """
    graph = definitions.resolve_asset_graph()
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    found: dict[str, Asset] = {}
    for key in graph.toposorted_asset_keys:
        if key in graph.materializable_asset_keys and key in specs and MAINTENANCE not in specs[key].metadata:
            asset = _describe(specs[key], graph, found)
            found[asset.name] = replace(asset, sensitive=(sensitive or {}).get(asset.name, frozenset()))
    return list(found.values())


def order_layers(layers: Collection[str]) -> list[str]:
    """Return layers in the order of the data's way, others after them by name."""
    return sorted(layers, key=lambda each: (LAYERS.index(each) if each in LAYERS else len(LAYERS), each))


def _describe(spec: dg.AssetSpec, graph: AssetGraph, before: dict[str, Asset]) -> Asset:
    parents = tuple(sorted(dep.asset_key.to_user_string() for dep in spec.deps))
    own = {str(spec.metadata["source"])} if "source" in spec.metadata else set()
    warn, fail = _read_ages(spec.freshness_policy)
    reach = spec.metadata.get(REACH)
    return Asset(
        name=spec.key.to_user_string(),
        layer=spec.tags.get("layer") or spec.group_name or "default",
        sources=frozenset(own).union(*(before[each].sources for each in parents if each in before)),
        owners=tuple(spec.owners),
        parents=parents,
        daily=graph.get(spec.key).is_partitioned and not has_other_partitions(spec.key, graph),
        warn=warn,
        fail=fail,
        reach_days=int(getattr(reach, "value", reach)) if reach is not None else None,
        table=str(spec.metadata.get("dagster/table_name", "")),
        description=spec.description or "",
    )


def _read_ages(policy: object) -> tuple[dt.timedelta | None, dt.timedelta | None]:
    """Return after which ages a policy warns and fails; those of a cron policy are not ages."""
    fail, warn = getattr(policy, "fail_window", None), getattr(policy, "warn_window", None)
    return (warn.to_timedelta() if warn else None), (fail.to_timedelta() if fail else None)
