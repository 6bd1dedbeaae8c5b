"""The models as Dagster sees them: keys, dependencies, owners, columns, checks, from the manifest alone.

dagster-dbt's translator would say the same after importing dbt, which takes longer than all the rest of a
code location.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from millpond.transform.models import Model, Models

KINDS = {"dbt", "duckdb", "iceberg"}
_Node = Mapping[str, Any]


def asset_spec(model: Model, every: Models, document: _Node, project: Path) -> dg.AssetSpec:
    """Return the asset of a model."""
    node = document["nodes"][model.unique_id]
    return dg.AssetSpec(
        key=asset_key(model.name),
        deps=list(_deps(model, every)),
        group_name=node["schema"],
        owners=_owners(node, document),
        kinds=KINDS,
        tags={"layer": node["schema"], **_domain(node)},
        description=node["description"].strip() or None,
        code_version=code_version(node, document),
        metadata={
            "dagster/table_name": model.table,
            "dagster/column_schema": dg.TableSchema(columns=_columns(node)),
            "dagster/code_references": dg.CodeReferencesMetadataValue(
                code_references=[
                    dg.LocalFileCodeReference(file_path=str(project / node["original_file_path"]))
                ]
            ),
            "key": ", ".join(node["config"]["meta"].get("key", ())),
        },
        skippable=True,
    )


def check_specs(model: Model, document: _Node) -> list[dg.AssetCheckSpec]:
    """Return the checks of a model: its data tests, blocking where their severity is error."""
    return [
        dg.AssetCheckSpec(
            node["name"],
            asset=asset_key(model.name),
            description=node["description"].strip() or None,
            blocking=node["config"]["severity"].lower() == "error",
        )
        for node in document["nodes"].values()
        if node["resource_type"] == "test" and node["attached_node"] == model.unique_id
    ]


def asset_key(name: str) -> dg.AssetKey:
    """Return the key of a model's asset: its plain name."""
    return dg.AssetKey([name])


def code_version(node: _Node, document: _Node) -> str:
    """Return a hash of a model's SQL and of the project's own macros in it."""
    macros = (document["macros"][key] for key in sorted(node["depends_on"]["macros"]))
    own = [macro["macro_sql"] for macro in macros if macro["package_name"] == node["package_name"]]
    return hashlib.sha256("\0".join([node["raw_code"], *own]).encode()).hexdigest()[:16]


def _deps(model: Model, every: Models) -> Iterator[dg.AssetDep]:
    for asset in dict.fromkeys(model.sources.values()):
        yield dg.AssetDep(dg.AssetKey(asset.split("/")))
    for parent in model.parents:
        looks_back = model.look_back_days and every[parent].daily
        yield dg.AssetDep(
            asset_key(parent),
            partition_mapping=dg.TimeWindowPartitionMapping(
                start_offset=-model.look_back_days, allow_nonexistent_upstream_partitions=True
            )
            if looks_back
            else None,
        )


def _owners(node: _Node, document: _Node) -> list[str] | None:
    groups = {group["name"]: group["owner"] for group in document["groups"].values()}
    owner = groups.get(node["config"].get("group") or "", {})
    name = owner.get("email") or owner.get("name")
    return [name] if name else None


def _domain(node: _Node) -> dict[str, str]:
    domain = node["config"]["meta"].get("domain")
    return {"domain": domain} if domain else {}


def _columns(node: _Node) -> list[dg.TableColumn]:
    key = node["config"]["meta"].get("key", [])
    return [
        dg.TableColumn(
            column["name"],
            column["data_type"] or "unknown",
            column["description"].strip() or None,
            dg.TableColumnConstraints(nullable=column["name"] not in key, unique=[column["name"]] == key),
        )
        for column in node["columns"].values()
    ]
