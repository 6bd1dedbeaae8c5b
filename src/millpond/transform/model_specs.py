"""The specs of models as dagster-dbt builds them, stored with the manifest: loading them imports no dbt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import deserialize_value, serialize_value

from millpond.internals.dagster import normalize_metadata
from millpond.naming import dagster_name
from millpond.transform.checks import describe_test
from millpond.transform.models import KINDS, Model, Models, find_upstream

if TYPE_CHECKING:
    from millpond.transform.translator import MillpondDbtTranslator

_UNSTORED = "dagster_dbt/"
_ID = "dagster_dbt/unique_id"


@dataclass(frozen=True)
class ModelSpecs:
    """The specs of a model and of its checks."""

    spec: dg.AssetSpec
    checks: tuple[dg.AssetCheckSpec, ...]


def read_keys(document: Mapping[str, Any], translator: MillpondDbtTranslator) -> dict[str, str]:
    """Return the asset keys of models and sources by unique_id."""
    nodes = [*document["sources"].values(), *document["nodes"].values()]
    return {
        node["unique_id"]: _read_key(node, translator)
        for node in nodes
        if node["resource_type"] in (*KINDS, "source")
    }


def _read_key(node: Mapping[str, Any], translator: MillpondDbtTranslator) -> str:
    try:
        return translator.get_asset_key(node).to_user_string()
    except Exception:  # noqa: BLE001 - `refuse_invalid_assets` says what is wrong with it
        return str(node["name"])


def refuse_invalid_assets(
    document: Mapping[str, Any], translator: MillpondDbtTranslator, every: Models
) -> dict[str, Model]:
    """Return the models, and refuse those whose asset, or that of a table they read, Dagster does not accept.

    One such asset would keep a code location from loading.
    """
    refusals: dict[str, str] = {}
    found: dict[str, Model] = {}
    for unique_id, model in every.items():  # dagster-dbt also builds assets of what a model reads
        for key in (*find_upstream(document["nodes"][unique_id], document), unique_id):
            refusals[key] = refusals[key] if key in refusals else _find_refusal(key, document, translator)
            if refusals[key]:
                refusals[unique_id] = (
                    refusals[key] if key == unique_id else f"it reads {key}: {refusals[key]}"
                )
                break
        found[unique_id] = replace(model, refused=model.refused or refusals[unique_id])
    return found


def _find_refusal(key: str, document: Mapping[str, Any], translator: MillpondDbtTranslator) -> str:
    """Return why Dagster does not accept the asset of a node; empty if it does."""
    try:
        spec = translator.get_asset_spec(document, key, None)
        name = spec.key.to_python_identifier()
        dg.AssetSpec(spec.key, group_name=spec.group_name, owners=spec.owners, tags=spec.tags)
    except Exception as error:  # noqa: BLE001 - whatever the translator or Dagster raises
        reason = " ".join(str(error).split())
        return f"Dagster refuses its declaration: {reason}; change its meta.dagster"
    if name != dagster_name(name):
        return (
            f"Dagster does not accept the asset key {spec.key.to_user_string()}: set meta.dagster.asset_key"
            " to letters A to Z, digits and underscores"
        )
    return ""


def prepare_specs(
    document: Mapping[str, Any],
    translator: MillpondDbtTranslator,
    every: Models,
    lineage: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the specs and checks of all models by unique_id, as JSON values.

    The checks of a source belong to the first model that reads it: they run before it.
    """
    sources: dict[str, str] = {}
    for model in every.values():
        for key in find_upstream(document["nodes"][model.unique_id], document):
            if key.startswith("source.") and not model.refused:
                sources.setdefault(key, model.unique_id)
    known = {model.key for model in every.values() if not model.refused}
    known |= {key for model in every.values() for key in model.sources.values()}
    prepared = {}
    for model in (model for model in every.values() if not model.refused):
        spec = translator.get_asset_spec(document, model.unique_id, None)
        prepared[model.unique_id] = {
            "spec": _serialize_spec(_add_lineage(spec, lineage.get(model.unique_id)), document, model, known),
            "checks": [
                check
                for key in (
                    model.unique_id,
                    *(key for key, first in sources.items() if first == model.unique_id),
                )
                for check in _serialize_checks(key, translator, document)
            ],
        }
    return prepared


def load_specs(prepared: Mapping[str, Any], project: Path) -> dict[str, ModelSpecs]:
    """Return the specs by unique_id; `project` is the folder that code references point into."""
    return {key: _load_spec(found, project) for key, found in prepared.items()}


def read_check_names(prepared: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the checks of all models by the unique_id of their test."""
    return {check["unique_id"]: check["name"] for model in prepared.values() for check in model["checks"]}


def _add_lineage(spec: dg.AssetSpec, traced: Mapping[str, Any] | None) -> dg.AssetSpec:
    """Return the spec with its column lineage, which is also added to the columns' descriptions."""
    if not traced or not traced["deps"]:
        return spec
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey.from_user_string(key), name) for key, name in found]
        for column, found in traced["deps"].items()
    }
    metadata: dict[str, Any] = {"dagster/column_lineage": dg.TableColumnLineage(deps)}
    if schema := spec.metadata.get("dagster/column_schema"):
        columns = [
            _describe_column(column, traced["deps"].get(column.name.lower(), ())) for column in schema.columns
        ]
        metadata["dagster/column_schema"] = dg.TableSchema(columns, schema.constraints)
    return spec.merge_attributes(metadata=metadata)


def _describe_column(column: dg.TableColumn, deps: Sequence[Sequence[str]]) -> dg.TableColumn:
    if not deps:
        return column
    origin = "from " + ", ".join(f"{key}.{name}" for key, name in deps)
    text = f"{column.description} ({origin})" if column.description else origin
    return dg.TableColumn(column.name, column.type, text, column.constraints, column.tags)


def _serialize_spec(
    spec: dg.AssetSpec, document: Mapping[str, Any], model: Model, known: set[str]
) -> dict[str, Any]:
    metadata = {k: v for k, v in spec.metadata.items() if not k.startswith(_UNSTORED)}
    metadata[_ID] = model.unique_id
    return {
        "key": list(spec.key.path),
        "group": spec.group_name,
        "owners": list(spec.owners),
        "tags": dict(spec.tags),
        "description": spec.description or None,
        "code_version": spec.code_version,
        "automation": spec.automation_condition and _serialize(spec.automation_condition),
        "freshness": spec.freshness_policy and _serialize(spec.freshness_policy),
        "metadata": _serialize(dict(normalize_metadata(metadata))),
        "file": document["nodes"][model.unique_id]["original_file_path"],
        "deps": [
            [list(dep.asset_key.path), dep.partition_mapping and _serialize(dep.partition_mapping)]
            for dep in spec.deps
            if dep.asset_key.to_user_string() in known
        ],
    }


def _serialize_checks(
    of: str, translator: MillpondDbtTranslator, document: Mapping[str, Any]
) -> list[dict[str, Any]]:
    found = []
    spec = translator.get_asset_spec(document, of, None)
    for child in document["child_map"].get(of, ()):
        if not child.startswith("test."):
            continue
        check = translator.get_asset_check_spec(spec, document, child, None)
        if check is not None:
            node = document["nodes"][child]
            found.append(
                {
                    "name": dagster_name(check.name),
                    "asset": list(spec.key.path),
                    "description": check.description or describe_test(node) or None,
                    "blocking": check.blocking,
                    "unique_id": child,
                }
            )
    return found


def _load_spec(found: Mapping[str, Any], project: Path) -> ModelSpecs:
    spec = found["spec"]
    at = dg.LocalFileCodeReference(file_path=str(project / spec["file"]))
    metadata: Any = deserialize_value(spec["metadata"])
    return ModelSpecs(
        dg.AssetSpec(
            key=dg.AssetKey(spec["key"]),
            deps=[
                dg.AssetDep(dg.AssetKey(key), partition_mapping=_deserialize(mapping))
                for key, mapping in spec["deps"]
            ],
            group_name=spec["group"],
            owners=spec["owners"],
            tags=spec["tags"],
            description=spec["description"],
            code_version=spec["code_version"],
            automation_condition=_deserialize(spec["automation"]),
            freshness_policy=_deserialize(spec["freshness"]),
            metadata={
                **{name: value.value for name, value in metadata.items()},
                "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[at]),
            },
            skippable=True,
        ),
        tuple(
            dg.AssetCheckSpec(
                check["name"],
                asset=dg.AssetKey(check["asset"]),
                description=check["description"],
                blocking=check["blocking"],
                metadata={_ID: check["unique_id"]},
            )
            for check in found["checks"]
        ),
    )


def _serialize(value: Any) -> str:
    return serialize_value(value)


def _deserialize(text: str | None) -> Any:
    return text and deserialize_value(text)
