"""Chains: assets connected by lineage, from raw tables to marts, which are materialized in one run.

An asset without a source upstream (a calendar) connects nothing; it belongs to each chain that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.window import Cadence
from millpond.instance.record import NO_ADDRESS

Keys = frozenset[dg.AssetKey]


@dataclass(frozen=True)
class Chain:
    """The assets of a chain; `cadences` are those of its raw tables, by the asset's key.

    `given` are the assets that it reads and that have no source upstream, without external ones.
    """

    name: str
    assets: Keys
    given: Keys
    daily: Keys
    cadences: Mapping[dg.AssetKey, Cadence]

    @property
    def lookback_days(self) -> int:
        """How many days before yesterday are loaded again each morning."""
        return max((each.lookback_days for each in self.cadences.values()), default=0)

    @property
    def weekend_lookback_days(self) -> int:
        """The same on Saturdays and Sundays."""
        days = (
            each.lookback_days if each.weekend_lookback_days is None else each.weekend_lookback_days
            for each in self.cadences.values()
        )
        return max(days, default=0)


def find_chains(assets: Iterable[dg.AssetsDefinition], sources: Sequence[SourceSpec]) -> list[Chain]:
    """Return the chains that have a cadence, sorted by name: their raw tables, joined by `+`.

    What reads a raw table whose source has no address belongs to none.
    """
    specs = {spec.key: spec for each in assets for spec in each.specs}
    parents = {key: frozenset(dep.asset_key for dep in spec.deps) for key, spec in specs.items()}
    tables = {dg.AssetKey(table.asset): table for source in sources for table in source.tables}
    above = {key: find_upstream(key, parents) for key in specs}
    roots = {
        key: found & tables.keys() for key, found in above.items() if NO_ADDRESS not in specs[key].metadata
    }
    found = []
    for members in _connect(roots):
        raw = sorted(members & tables.keys())
        cadences = {key: cadence for key in raw if (cadence := tables[key].cadence)}
        if cadences:
            read = frozenset().union(*(above[key] for key in members)) & specs.keys()
            daily = frozenset(key for key in members if specs[key].partitions_def)
            found.append(
                Chain("+".join(tables[key].name for key in raw), members, read - members, daily, cadences)
            )
    return sorted(found, key=lambda chain: chain.name)


def note_missing_addresses(assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """Return `assets`; those that read a source without an address have in their metadata what is not set."""
    specs = {spec.key: spec for each in assets for spec in each.specs}
    missing = {key: spec.metadata[NO_ADDRESS] for key, spec in specs.items() if NO_ADDRESS in spec.metadata}
    if not missing:
        return list(assets)
    parents = {key: frozenset(dep.asset_key for dep in spec.deps) for key, spec in specs.items()}

    def note(spec: dg.AssetSpec) -> dg.AssetSpec:
        texts = sorted({missing[key] for key in find_upstream(spec.key, parents) & missing.keys()})
        return spec.merge_attributes(metadata={NO_ADDRESS: "; ".join(texts)}) if texts else spec

    return [each.map_asset_specs(note) for each in assets]


def find_upstream(key: dg.AssetKey, parents: Mapping[dg.AssetKey, Iterable[dg.AssetKey]]) -> Keys:
    """Return `key` and all assets upstream of it."""
    return frozenset({key}).union(*(find_upstream(parent, parents) for parent in parents.get(key, ())))


def _connect(roots: Mapping[dg.AssetKey, Keys]) -> list[Keys]:
    """Return the connected components of the assets that share raw tables."""
    groups: list[tuple[Keys, Keys]] = []
    for key, above in roots.items():
        if not above:
            continue
        touching = [group for group in groups if group[0] & above]
        merged = (above.union(*(raw for raw, _ in touching)), frozenset({key}))
        merged = (merged[0], merged[1].union(*(members for _, members in touching)))
        groups = [group for group in groups if group not in touching] + [merged]
    return [members for _, members in groups]
