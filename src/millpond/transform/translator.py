"""How dbt's nodes appear in Dagster; imported when the project is parsed, never by a code location."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator

from millpond.errors import ConfigError
from millpond.instance.record import RETENTION
from millpond.internals.result_cache import remember_results
from millpond.naming import PARTITION_COLUMN, dagster_name
from millpond.transform.exposures import format_owners
from millpond.transform.models import KINDS, is_daily, parse_retention, read_key_columns

_Node = Mapping[str, Any]
_OF_DBT = frozenset({"dbt", "dbt_duckdb", "dbt_trino"})
_VARIABLE = re.compile(r"""\bvar\(\s*["'](\w+)""")


class MillpondDbtTranslator(DagsterDbtTranslator):
    """dagster-dbt's translator, with layers as groups; MILLPOND_DBT_TRANSLATOR names a subclass of it."""

    def __init__(self, document: _Node, variables: Mapping[str, object], engine: str) -> None:
        super().__init__()
        self.document = document
        self.variables = variables
        self.engine = engine
        self._packages: dict[str, set[str]] = {}
        for node in document["nodes"].values():
            if node["resource_type"] in KINDS:
                self._packages.setdefault(node["name"], set()).add(node["package_name"])

    def get_asset_key(self, dbt_resource_props: _Node) -> dg.AssetKey:
        """Return `meta.dagster.asset_key`, else the name of a model, with its version if it has one.

        If several packages have a model of that name, its key outside of the project begins with the package.
        """
        props = dbt_resource_props
        if (
            props["resource_type"] == "source"
            or props.get("version")
            or _get_dagster_meta(props).get("asset_key")
        ):
            return super().get_asset_key(props)
        packages = self._packages.get(props["name"], set())
        if len(packages) > 1 and props["package_name"] != self.document["metadata"]["project_name"]:
            return dg.AssetKey([props["package_name"], props["name"]])
        return dg.AssetKey([props["name"]])

    def get_group_name(self, dbt_resource_props: _Node) -> str | None:
        """Return `meta.dagster.group`, else the layer."""
        return str(_get_dagster_meta(dbt_resource_props).get("group") or dbt_resource_props["schema"])

    def get_description(self, dbt_resource_props: _Node) -> str:
        """Return the description without the SQL, which the pages link to."""
        return str(dbt_resource_props.get("description") or "").strip()

    def get_owners(self, dbt_resource_props: _Node) -> Sequence[str] | None:
        """Return `meta.dagster.owners`, else the owner of the dbt group by e-mail or as a team."""
        group = dbt_resource_props.get("group")
        owner = group.get("owner", {}) if isinstance(group, Mapping) else {}
        named = _get_dagster_meta(dbt_resource_props).get("owners") or owner.get("email") or owner.get("name")
        return format_owners(named)

    def get_tags(self, dbt_resource_props: _Node) -> Mapping[str, str]:
        """Return dbt's tags, the layer and the domain."""
        domain = _get_meta(dbt_resource_props).get("domain")
        about = {"domain": dagster_name(domain)} if domain else {}
        return {**super().get_tags(dbt_resource_props), "layer": dbt_resource_props["schema"], **about}

    def get_automation_condition(self, dbt_resource_props: _Node) -> dg.AutomationCondition[Any] | None:
        """Return the condition of `meta.dagster.auto_materialize_policy`; None leaves it to Millpond."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # dagster-dbt still uses policies
            return super().get_automation_condition(dbt_resource_props)

    def get_code_version(self, dbt_resource_props: _Node) -> str | None:
        """Return a hash of the code that computes a model's rows."""
        if dbt_resource_props["resource_type"] not in ("model", "snapshot"):
            return super().get_code_version(dbt_resource_props)
        return compute_code_version(dbt_resource_props, self.document, self.variables)

    def get_metadata(self, dbt_resource_props: _Node) -> Mapping[str, Any]:
        """Return dagster-dbt's metadata, with the table's key and the constraints that follow."""
        found = dict(super().get_metadata(dbt_resource_props))
        key = read_key_columns(dbt_resource_props)
        schema = found.get("dagster/column_schema")
        if schema is not None:
            columns = [
                dg.TableColumn(
                    column.name,
                    column.type,
                    (column.description or "").strip() or None,
                    dg.TableColumnConstraints(nullable=column.name not in key, unique=[column.name] == key),
                    column.tags,
                )
                for column in schema.columns
            ]
            found["dagster/column_schema"] = dg.TableSchema(columns=columns)
        if dbt_resource_props["resource_type"] in KINDS:
            found["dagster/table_name"] = f"{dbt_resource_props['schema']}.{dbt_resource_props['alias']}"
            found["key"] = ", ".join(key)
            if kept := parse_retention(_get_meta(dbt_resource_props).get("retention")):
                found[RETENTION] = kept
        return found

    def get_partition_mapping(
        self, dbt_resource_props: _Node, dbt_parent_resource_props: _Node
    ) -> dg.PartitionMapping | None:
        """Return the days of a daily parent that a daily model with look-back reads."""
        back = int(_get_meta(dbt_resource_props).get("look_back_days", 0))
        if back and is_daily(dbt_resource_props) and _has_days(dbt_parent_resource_props):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dg.BetaWarning)  # the days before the first
                return dg.TimeWindowPartitionMapping(
                    start_offset=-back, allow_nonexistent_upstream_partitions=True
                )
        return None

    def get_asset_spec(self, manifest: _Node, unique_id: str, project: Any) -> dg.AssetSpec:
        """Return the spec of a node; tables have the kinds dbt, iceberg, and that of the engine."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if manifest["nodes"].get(unique_id, {}).get("resource_type") not in KINDS:
            return spec
        kinds = _get_dagster_meta(manifest["nodes"][unique_id]).get("kinds") or {
            "dbt",
            self.engine,
            "iceberg",
        }
        return _set_kinds(spec, *sorted(kinds))


@remember_results
def _set_kinds(spec: dg.AssetSpec, *kinds: str) -> dg.AssetSpec:
    """Return the spec, of which dagster-dbt has one for each node, with these kinds and no others."""
    kept = {k: v for k, v in spec.tags.items() if not k.startswith("dagster/kind/")}
    return spec.replace_attributes(tags=kept).merge_attributes(kinds=set(kinds))


def load_translator(
    name: str | None, document: _Node, variables: Mapping[str, object], engine: str
) -> MillpondDbtTranslator:
    """Return the translator `package.module:Class`. Raises ConfigError if it cannot be imported."""
    if not name:
        return MillpondDbtTranslator(document, variables, engine)
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"MILLPOND_DBT_TRANSLATOR={name} cannot be imported: {error}",
            next_step="set it to `package.module:Class` of an installed package, or unset it",
        ) from error
    if not (isinstance(found, type) and issubclass(found, MillpondDbtTranslator)):
        raise ConfigError(
            f"MILLPOND_DBT_TRANSLATOR={name} is not a subclass of MillpondDbtTranslator",
            next_step="derive it from millpond.transform.translator.MillpondDbtTranslator",
        )
    return found(document, variables, engine)


def compute_code_version(node: _Node, document: _Node, variables: Mapping[str, object]) -> str:
    """Return a hash of the code that computes a model's rows.

    It covers the model's SQL, the macros that it calls except dbt's own, the content of seeds that it reads,
    and the values of the `variables` that these use.
    """
    own = [macro for macro in _find_macros(node, document) if macro["package_name"] not in _OF_DBT]
    code = [node["raw_code"], *(macro["macro_sql"] for macro in own)]
    named = sorted(set(_VARIABLE.findall("".join(code))))
    seeds = [document["nodes"][key]["checksum"]["checksum"] for key in _list_seeds(node)]
    values = [f"{name}={variables.get(name)}" for name in named]
    return hashlib.sha256("\0".join([*code, *seeds, *values]).encode()).hexdigest()[:16]


def _find_macros(node: _Node, document: _Node) -> list[_Node]:
    """Return the macros that a node calls, directly or through others, by key."""
    found: dict[str, _Node] = {}
    queue = list(node["depends_on"]["macros"])
    for key in queue:
        if key not in found and key in document["macros"]:
            found[key] = document["macros"][key]
            queue += found[key]["depends_on"]["macros"]
    return [found[key] for key in sorted(found)]


def _list_seeds(node: _Node) -> list[str]:
    return sorted(key for key in node["depends_on"].get("nodes", ()) if key.startswith("seed."))


def _has_days(parent: _Node) -> bool:
    if parent["resource_type"] == "source":
        return bool(parent["config"].get("event_time") == PARTITION_COLUMN)
    return is_daily(parent)


def _get_meta(node: _Node) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node["config"].get("meta") or {}
    return found


def _get_dagster_meta(node: _Node) -> Mapping[str, Any]:
    return _get_meta(node).get("dagster") or {}
