"""How old an asset may become: raw tables as declared, assets downstream by the strictest of these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.window import Freshness
from millpond.transform.models import Models, find_source_key

EXEMPTION = "freshness"
"""Metadata that says why an asset has no freshness policy."""

_NEVER = dt.timedelta(days=36_500)
_NO_INPUT = "none: it has no source upstream, so it does not age"
_NOT_DECLARED = "none: no source upstream declares one"


def read_dbt_freshness(document: Mapping[str, Any], every: Models) -> dict[dg.AssetKey, Freshness]:
    """Return what the sources of a manifest declare as `freshness:`, by raw asset.

    dbt may leave out one of its two ages: then the asset is never stale by that one.
    """
    found = {}
    for source in document["sources"].values():
        declared = source["config"].get("freshness") or source["freshness"] or {}
        warn, fail = (_parse_age(declared.get(name)) for name in ("warn_after", "error_after"))
        if warn or fail:
            found[find_source_key(source, every)] = Freshness(
                warn=min(warn or fail or _NEVER, fail or _NEVER), fail=fail or _NEVER
            )
    return found


def _parse_age(declared: Mapping[str, Any] | None) -> dt.timedelta | None:
    count, period = (declared or {}).get("count"), (declared or {}).get("period")
    return dt.timedelta(**{f"{period}s": count}) if count and period else None


def add_freshness(
    assets: Sequence[dg.AssetsDefinition],
    sources: Sequence[SourceSpec],
    in_dbt: Mapping[dg.AssetKey, Freshness],
) -> list[dg.AssetsDefinition]:
    """Return `assets`, each with a freshness policy or with the reason for having none.

    What an asset says itself stays. Where a source file and dbt (`in_dbt`) declare ages of one table, the
    stricter ones hold.
    """
    declared: dict[dg.AssetKey, list[Freshness]] = {}
    for source in sources:
        for table in source.tables:
            declared[dg.AssetKey(table.asset)] = [table.freshness] if table.freshness else []
    for key, ages in in_dbt.items():
        declared.setdefault(key, []).append(ages)
    inputs = {spec.key: [dep.asset_key for dep in spec.deps] for each in assets for spec in each.specs}

    def with_policy(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.freshness_policy or EXEMPTION in spec.metadata:
            return spec
        roots = _find_roots(spec.key, inputs)
        ages = [age for key in roots for age in declared.get(key, ())]
        if not ages:
            reason = _NOT_DECLARED if roots & declared.keys() else _NO_INPUT
            return spec.merge_attributes(metadata={EXEMPTION: reason})
        return spec.replace_attributes(freshness_policy=_build_policy(ages))

    return [each.map_asset_specs(with_policy) for each in assets]


def _build_policy(ages: Sequence[Freshness]) -> dg.FreshnessPolicy:
    warn, fail = min(age.warn for age in ages), min(age.fail for age in ages)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn if warn < fail else None)


def _find_roots(key: dg.AssetKey, inputs: Mapping[dg.AssetKey, Sequence[dg.AssetKey]]) -> set[dg.AssetKey]:
    """Return the assets without inputs upstream of `key`; itself if it has no inputs."""
    above = inputs.get(key, ())
    return set().union(*(_find_roots(each, inputs) for each in above)) if above else {key}
