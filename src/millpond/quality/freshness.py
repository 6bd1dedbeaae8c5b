"""How old an asset may become: raw tables by their spec, what is made of them by the strictest of these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg

from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.window import Freshness

EXEMPTION = "freshness"
"""Metadata that says why an asset has no freshness policy."""

_NO_INPUT = "none: it is made from no source, so it does not age"
_NOT_DECLARED = "none: no source it is made from declares one"


def with_freshness(
    assets: Sequence[dg.AssetsDefinition], sources: Sequence[SourceSpec]
) -> list[dg.AssetsDefinition]:
    """Return `assets`, each with a freshness policy or with the reason for having none."""
    declared = {dg.AssetKey(table.asset): table.freshness for source in sources for table in source.tables}
    inputs = {spec.key: [dep.asset_key for dep in spec.deps] for each in assets for spec in each.specs}

    def promised(spec: dg.AssetSpec) -> dg.AssetSpec:
        roots = _roots(spec.key, inputs)
        ages = [age for key in roots if (age := declared.get(key))]
        if not ages:
            reason = _NOT_DECLARED if roots & declared.keys() else _NO_INPUT
            return spec.merge_attributes(metadata={EXEMPTION: reason})
        return spec.replace_attributes(freshness_policy=_policy(ages))

    return [each.map_asset_specs(promised) for each in assets]


def _policy(ages: Sequence[Freshness]) -> dg.FreshnessPolicy:
    warn, fail = min(age.warn for age in ages), min(age.fail for age in ages)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=_earlier(warn, fail))


def _earlier(warn: dt.timedelta, fail: dt.timedelta) -> dt.timedelta | None:
    """Return `warn` if it says more than `fail`."""
    return warn if warn < fail else None


def _roots(key: dg.AssetKey, inputs: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]) -> set[dg.AssetKey]:
    """Return the assets without inputs that `key` is made from, itself if it has none."""
    above = inputs.get(key, ())
    return set().union(*(_roots(each, inputs) for each in above)) if above else {key}
