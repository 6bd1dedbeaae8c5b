"""What alerts need from asset definitions: owners, tags, retries, partitions, and when data is due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from millpond.alerts.alert import Alert
from millpond.internals.dagster import TimeWindowFreshnessPolicy

MARTS = "marts"
"""Value of the tag `layer` that marts have."""


@dataclass(frozen=True)
class AssetFacts:
    """Facts about assets, by name."""

    owners: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    """Every asset; empty if the assets are unknown."""
    daily: frozenset[str] = frozenset()
    due: Mapping[str, dt.timedelta] = field(default_factory=dict)
    """How long after the end of a day the asset must hold it."""
    made_from: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """For each mart: its upstream assets and itself, each with its parents, in topological order."""
    unasked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each asset downstream of raw assets whose sources have no address: these raw assets."""

    @classmethod
    def of(cls, assets: Sequence[dg.AssetsDefinition], unasked: Collection[str] = ()) -> AssetFacts:
        """Return the facts of `assets`; the sources of the raw assets `unasked` have no address."""
        specs = {spec.key.to_user_string(): spec for each in assets for spec in each.specs}
        return cls(
            owners={name: tuple(spec.owners) for name, spec in specs.items()},
            tags={name: tuple(f"{k}={v}" for k, v in spec.tags.items()) for name, spec in specs.items()},
            retries={
                spec.key.to_user_string(): policy.max_retries
                for each in assets
                if each.is_executable and (policy := getattr(each.node_def, "retry_policy", None))
                for spec in each.specs
            },
            names=frozenset(specs),
            daily=frozenset(name for name, spec in specs.items() if spec.partitions_def),
            due={
                name: policy.fail_window.to_timedelta()
                for name, spec in specs.items()
                if (policy := spec.freshness_policy) and isinstance(policy, TimeWindowFreshnessPolicy)
            },
            made_from={
                name: _find_lineage(name, specs)
                for name, spec in specs.items()
                if spec.tags.get("layer") == MARTS
            },
            unasked={
                name: found
                for name in (specs if unasked else ())
                if (found := frozenset(unasked).intersection(_find_lineage(name, specs)))
            },
        )

    def without_idle(self, made: Collection[str]) -> AssetFacts:
        """Return the same facts without what is due from sources without an address, unless they were `made`.

        A source that was loaded before and has lost its address is still due.
        """
        idle = {name for name, raw in self.unasked.items() if not raw <= set(made)}
        return replace(
            self,
            due={name: due for name, due in self.due.items() if name not in idle},
            made_from={name: of for name, of in self.made_from.items() if name not in idle},
        )

    def is_idle(self, name: str) -> bool:
        """Return whether the asset `name` is never due; see `without_idle`."""
        return name in self.unasked and name not in self.due and name not in self.made_from

    def owners_of(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return the owners of `assets`, each once."""
        return tuple(sorted({owner for name in assets for owner in self.owners.get(name, ())}))

    def tags_of(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return the tags of `assets`, each once."""
        return tuple(sorted({tag for name in assets for tag in self.tags.get(name, ())}))

    def are_deleted(self, assets: Sequence[str]) -> bool:
        """Return whether none of `assets` is defined any longer: they were deleted or renamed."""
        return bool(self.names and assets) and self.names.isdisjoint(assets)

    def alert_of(self, asset: str, day: dt.date, *, kind: str, title: str, reason: str) -> Alert:
        """Return the alert of this kind about one asset and day."""
        key = f"{kind}:{asset}:{day}"
        return Alert(
            kind=kind,
            source=key,
            dedup_key=key,
            title=title,
            reason=reason,
            assets=(asset,),
            partition=str(day),
            owners=self.owners_of([asset]),
            tags=self.tags_of([asset]),
        )


def _find_lineage(name: str, specs: Mapping[str, dg.AssetSpec]) -> dict[str, Sequence[str]]:
    spec = specs.get(name)  # None for a dbt source that no asset loads
    parents = [dep.asset_key.to_user_string() for dep in spec.deps] if spec else []
    found: dict[str, Sequence[str]] = {}
    for parent in parents:
        found |= _find_lineage(parent, specs)
    return {**found, name: parents}
