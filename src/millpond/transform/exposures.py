"""dbt's exposures as assets at the end of the lineage: what reads the tables outside of the platform."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from millpond.naming import dagster_name
from millpond.transform.models import Models, find_source_key, find_upstream

GROUP = "exposures"

_Node = Mapping[str, Any]


def build_exposure_specs(
    document: _Node, every: Models, marts: Mapping[dg.AssetKey, dg.AssetKey]
) -> list[dg.AssetSpec]:
    """Return a spec `exposures/<name>` for each exposure of the manifest; nothing materializes them.

    `marts` gives the key of a model's mart: an exposure that names such a model depends on the mart.
    """
    return [_build_spec(node, document, every, marts) for node in document["exposures"].values()]


def format_owners(named: str | Sequence[str] | None) -> list[str] | None:
    """Return owners as Dagster accepts them: e-mail addresses, else teams; None if there are none."""
    return [_format_owner(each) for each in ([named] if isinstance(named, str) else named or ())] or None


def _build_spec(
    node: _Node, document: _Node, every: Models, marts: Mapping[dg.AssetKey, dg.AssetKey]
) -> dg.AssetSpec:
    read = {_find_key(each, document, every) for each in find_upstream(node, document)}
    owner = node["owner"]
    metadata: dict[str, Any] = {"dbt/type": node["type"], "dbt/maturity": node["maturity"]}
    if node["url"]:
        metadata["url"] = dg.MetadataValue.url(node["url"])
    return dg.AssetSpec(
        dg.AssetKey([GROUP, dagster_name(node["name"])]),
        deps=sorted(marts.get(key, key) for key in read if key),
        group_name=GROUP,
        description=(node["description"] or node["label"] or "").strip() or None,
        owners=format_owners(owner.get("email") or owner.get("name")),
        tags={re.sub(r"[^\w.-]", "_", tag)[:63]: "" for tag in node["tags"]},
        kinds={"dbt", re.sub(r"\W", "", node["type"])},
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _find_key(unique_id: str, document: _Node, every: Models) -> dg.AssetKey | None:
    """Return the asset key of a node, None if it has none."""
    if model := every.get(unique_id):
        return None if model.refused else dg.AssetKey.from_user_string(model.key)
    source = document["sources"].get(unique_id)
    return source and find_source_key(source, every)


def _format_owner(name: str) -> str:
    if "@" in name:
        return name
    return "team:" + re.sub(r"[^\w-]+", "-", name.removeprefix("team:")).strip("-")
