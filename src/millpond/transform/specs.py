"""The models as Dagster sees them: keys, dependencies, owners, columns, checks, from the manifest alone.

dagster-dbt's translator would say the same after importing dbt, which takes longer than all the rest of a
code location.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from millpond.transform.models import Model, Models

_Node = Mapping[str, Any]
_VARIABLE = re.compile(r"""\bvar\(\s*["'](\w+)""")


def asset_spec(
    model: Model,
    every: Models,
    document: _Node,
    project: Path,
    variables: Mapping[str, object],
    engine: str,
) -> dg.AssetSpec:
    """Return the asset of a model; `variables` are what dbt is given, see `invocation.variables_of`.

    `engine` is what computes it, for Dagster's pages.
    """
    node = document["nodes"][model.unique_id]
    return dg.AssetSpec(
        key=asset_key(model.name),
        deps=list(_deps(model, every)),
        group_name=node["schema"],
        owners=_owners(node, document),
        kinds={"dbt", engine, "iceberg"},
        tags={"layer": node["schema"], **_domain(node)},
        description=node["description"].strip() or None,
        code_version=code_version(node, document, variables),
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


def code_version(node: _Node, document: _Node, variables: Mapping[str, object]) -> str:
    """Return a hash of what a model's rows are computed by.

    Its SQL, the project's own macros that it reaches through whatever others, the content of seeds it reads,
    and the values of the `variables` that these name.
    """
    own = [macro for macro in _reached(node, document) if macro["package_name"] == node["package_name"]]
    code = [node["raw_code"], *(macro["macro_sql"] for macro in own)]
    named = sorted(set(_VARIABLE.findall("".join(code))))
    seeds = [document["nodes"][key]["checksum"]["checksum"] for key in _seeds(node)]
    values = [f"{name}={variables.get(name)}" for name in named]
    return hashlib.sha256("\0".join([*code, *seeds, *values]).encode()).hexdigest()[:16]


def _reached(node: _Node, document: _Node) -> list[_Node]:
    """Return the macros that a node calls and those that they call, by key."""
    found: dict[str, _Node] = {}
    queue = list(node["depends_on"]["macros"])
    for key in queue:
        if key not in found and key in document["macros"]:
            found[key] = document["macros"][key]
            queue += found[key]["depends_on"]["macros"]
    return [found[key] for key in sorted(found)]


def _seeds(node: _Node) -> list[str]:
    return sorted(key for key in node["depends_on"]["nodes"] if key.startswith("seed."))


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
