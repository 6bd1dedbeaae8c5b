"""dbt's exposures as assets at the end of the lineage: what outside of the platform reads its tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from millpond.naming import dagster_name
from millpond.transform.models import Models, source_key, upstream_tables

GROUP = "exposures"

_Node = Mapping[str, Any]


def exposure_specs(
    document: _Node, every: Models, marts: Mapping[dg.AssetKey, dg.AssetKey]
) -> list[dg.AssetSpec]:
    """Return a spec `exposures/<name>` for each exposure of the manifest; nothing materializes them.

    `marts` gives the key of a model's mart: an exposure that names such a model depends on the mart.
    """
    return [_spec(node, document, every, marts) for node in document["exposures"].values()]


def owner_names(named: str | Sequence[str] | None) -> list[str] | None:
    """Return owners as Dagster accepts them: e-mail addresses, else teams; None if there are none."""
    return [_owner_name(each) for each in ([named] if isinstance(named, str) else named or ())] or None


def _spec(
    node: _Node, document: _Node, every: Models, marts: Mapping[dg.AssetKey, dg.AssetKey]
) -> dg.AssetSpec:
    read = {_key(each, document, every) for each in upstream_tables(node, document)}
    owner = node["owner"]
    metadata: dict[str, Any] = {"dbt/type": node["type"], "dbt/maturity": node["maturity"]}
    if node["url"]:
        metadata["url"] = dg.MetadataValue.url(node["url"])
    return dg.AssetSpec(
        dg.AssetKey([GROUP, dagster_name(node["name"])]),
        deps=sorted(marts.get(key, key) for key in read if key),
        group_name=GROUP,
        description=(node["description"] or node["label"] or "").strip() or None,
        owners=owner_names(owner.get("email") or owner.get("name")),
        tags={re.sub(r"[^\w.-]", "_", tag)[:63]: "" for tag in node["tags"]},
        kinds={"dbt", re.sub(r"\W", "", node["type"])},
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _key(unique_id: str, document: _Node, every: Models) -> dg.AssetKey | None:
    """Return the key of the asset of a node, None if it has none."""
    if model := every.get(unique_id):
        return None if model.refused else dg.AssetKey.from_user_string(model.key)
    source = document["sources"].get(unique_id)
    return source and source_key(source, every)


def _owner_name(name: str) -> str:
    if "@" in name:
        return name
    return "team:" + re.sub(r"[^\w-]+", "-", name.removeprefix("team:")).strip("-")
