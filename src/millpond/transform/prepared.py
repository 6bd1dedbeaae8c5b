"""The specs of models as dagster-dbt makes them, kept beside the manifest: loading them imports no dbt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import deserialize_value, serialize_value

from millpond.internals.dagster import normalize_metadata
from millpond.naming import dagster_name
from millpond.transform.models import KINDS, Model, Models, upstream_tables

if TYPE_CHECKING:
    from millpond.transform.translator import MillpondDbtTranslator

_UNSTORED = "dagster_dbt/"
_ID = "dagster_dbt/unique_id"


@dataclass(frozen=True)
class Prepared:
    """What Dagster knows of one model."""

    spec: dg.AssetSpec
    checks: tuple[dg.AssetCheckSpec, ...]


def read_keys(document: Mapping[str, Any], translator: MillpondDbtTranslator) -> dict[str, str]:
    """Return the keys of assets by the unique_id of models and sources."""
    nodes = [*document["sources"].values(), *document["nodes"].values()]
    return {
        node["unique_id"]: _read_key(node, translator)
        for node in nodes
        if node["resource_type"] in (*KINDS, "source")
    }


def _read_key(node: Mapping[str, Any], translator: MillpondDbtTranslator) -> str:
    try:
        return translator.get_asset_key(node).to_user_string()
    except Exception:  # noqa: BLE001 - `refuse_unfit` says what is wrong with it
        return str(node["name"])


def refuse_unfit(
    document: Mapping[str, Any], translator: MillpondDbtTranslator, every: Models
) -> dict[str, Model]:
    """Return the models; those are refused of which Dagster takes no asset, or none of what they read.

    One such asset would keep a code location from loading.
    """

    unfit: dict[str, str] = {}
    found: dict[str, Model] = {}
    for unique_id, model in every.items():  # dagster-dbt makes the assets of what a model reads for its own
        for key in (*upstream_tables(document["nodes"][unique_id], document), unique_id):
            unfit[key] = unfit[key] if key in unfit else _unfit(key, document, translator)
            if unfit[key]:
                unfit[unique_id] = unfit[key] if key == unique_id else f"it reads {key}: {unfit[key]}"
                break
        found[unique_id] = replace(model, refused=model.refused or unfit[unique_id])
    return found


def _unfit(key: str, document: Mapping[str, Any], translator: MillpondDbtTranslator) -> str:
    """Return why Dagster takes no asset of a node; empty where it does."""
    try:
        spec = translator.get_asset_spec(document, key, None)
        name = spec.key.to_python_identifier()
        dg.AssetSpec(spec.key, group_name=spec.group_name, owners=spec.owners, tags=spec.tags)
    except Exception as error:  # noqa: BLE001 - whatever the translator, or Dagster, makes of what is declared
        said = " ".join(str(error).split())
        return f"Dagster refuses what is declared of it: {said}; change its meta.dagster"
    if name != dagster_name(name):
        return (
            f"Dagster takes no asset called {spec.key.to_user_string()}: set meta.dagster.asset_key to"
            " letters A to Z, digits and underscores"
        )
    return ""


def prepare_specs(
    document: Mapping[str, Any],
    translator: MillpondDbtTranslator,
    every: Models,
    lineage: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the specs and checks of all models by unique_id, as what JSON can hold.

    The checks of a source are with the first model that reads it: they run before that one.
    """
    sources: dict[str, str] = {}
    for model in every.values():
        for key in upstream_tables(document["nodes"][model.unique_id], document):
            if key.startswith("source.") and not model.refused:
                sources.setdefault(key, model.unique_id)
    known = {model.key for model in every.values() if not model.refused}
    known |= {key for model in every.values() for key in model.sources.values()}
    prepared = {}
    for model in (model for model in every.values() if not model.refused):
        spec = translator.get_asset_spec(document, model.unique_id, None)
        prepared[model.unique_id] = {
            "spec": _spec(_with_lineage(spec, lineage.get(model.unique_id)), document, model, known),
            "checks": [
                check
                for key in (
                    model.unique_id,
                    *(key for key, first in sources.items() if first == model.unique_id),
                )
                for check in _checks(key, translator, document)
            ],
        }
    return prepared


def load_specs(prepared: Mapping[str, Any], project: Path) -> dict[str, Prepared]:
    """Return the specs by unique_id; `project` is the folder that code references point into."""
    return {key: _loaded(found, project) for key, found in prepared.items()}


def _with_lineage(spec: dg.AssetSpec, traced: Mapping[str, Any] | None) -> dg.AssetSpec:
    """Return the spec with its column lineage; the pages show it as lines of the columns' descriptions."""
    if not traced or not traced["deps"]:
        return spec
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey.from_user_string(key), name) for key, name in found]
        for column, found in traced["deps"].items()
    }
    metadata: dict[str, Any] = {"dagster/column_lineage": dg.TableColumnLineage(deps)}
    if schema := spec.metadata.get("dagster/column_schema"):
        columns = [_column(column, traced["deps"].get(column.name.lower(), ())) for column in schema.columns]
        metadata["dagster/column_schema"] = dg.TableSchema(columns, schema.constraints)
    return spec.merge_attributes(metadata=metadata)


def _column(column: dg.TableColumn, deps: Sequence[Sequence[str]]) -> dg.TableColumn:
    if not deps:
        return column
    origin = "from " + ", ".join(f"{key}.{name}" for key, name in deps)
    said = f"{column.description} ({origin})" if column.description else origin
    return dg.TableColumn(column.name, column.type, said, column.constraints, column.tags)


def _spec(spec: dg.AssetSpec, document: Mapping[str, Any], model: Model, known: set[str]) -> dict[str, Any]:
    metadata = {k: v for k, v in spec.metadata.items() if not k.startswith(_UNSTORED)}
    metadata[_ID] = model.unique_id
    return {
        "key": list(spec.key.path),
        "group": spec.group_name,
        "owners": list(spec.owners),
        "tags": dict(spec.tags),
        "description": spec.description or None,
        "code_version": spec.code_version,
        "automation": spec.automation_condition and _serialized(spec.automation_condition),
        "freshness": spec.freshness_policy and _serialized(spec.freshness_policy),
        "metadata": _serialized(dict(normalize_metadata(metadata))),
        "file": document["nodes"][model.unique_id]["original_file_path"],
        "deps": [
            [list(dep.asset_key.path), dep.partition_mapping and _serialized(dep.partition_mapping)]
            for dep in spec.deps
            if dep.asset_key.to_user_string() in known
        ],
    }


def _checks(of: str, translator: MillpondDbtTranslator, document: Mapping[str, Any]) -> list[dict[str, Any]]:
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
                    "description": check.description or (node.get("description") or "").strip() or None,
                    "blocking": check.blocking,
                    "unique_id": child,
                }
            )
    return found


def _loaded(found: Mapping[str, Any], project: Path) -> Prepared:
    spec = found["spec"]
    at = dg.LocalFileCodeReference(file_path=str(project / spec["file"]))
    metadata: Any = deserialize_value(spec["metadata"])
    return Prepared(
        dg.AssetSpec(
            key=dg.AssetKey(spec["key"]),
            deps=[
                dg.AssetDep(dg.AssetKey(key), partition_mapping=_deserialized(mapping))
                for key, mapping in spec["deps"]
            ],
            group_name=spec["group"],
            owners=spec["owners"],
            tags=spec["tags"],
            description=spec["description"],
            code_version=spec["code_version"],
            automation_condition=_deserialized(spec["automation"]),
            freshness_policy=_deserialized(spec["freshness"]),
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


def _serialized(value: Any) -> str:
    return serialize_value(value)


def _deserialized(text: str | None) -> Any:
    return text and deserialize_value(text)
