"""What the definitions say about assets that an alert needs: owners, retries, days, when they are due."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy


@dataclass(frozen=True)
class Known:
    """Facts by the asset's name."""

    owners: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    daily: frozenset[str] = frozenset()
    due: Mapping[str, dt.timedelta] = field(default_factory=dict)
    """How long after its end a day of the asset is to be there."""

    @classmethod
    def of(cls, assets: Sequence[dg.AssetsDefinition]) -> Known:
        """Return what is known of `assets`."""
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
            daily=frozenset(name for name, spec in specs.items() if spec.partitions_def),
            due={
                name: policy.fail_window.to_timedelta()
                for name, spec in specs.items()
                if spec.partitions_def
                and (policy := spec.freshness_policy)
                and isinstance(policy, TimeWindowFreshnessPolicy)
            },
        )

    def owners_of(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return the owners of `assets`, each once."""
        return tuple(sorted({owner for name in assets for owner in self.owners.get(name, ())}))

    def tags_of(self, assets: Sequence[str]) -> tuple[str, ...]:
        """Return the tags of `assets`, each once."""
        return tuple(sorted({tag for name in assets for tag in self.tags.get(name, ())}))
