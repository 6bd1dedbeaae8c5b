"""The models, seeds and snapshots of the dbt project that become tables, read from the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from millpond.errors import ConfigError
from millpond.naming import dagster_name, is_identifier

STATIC = "static"
KINDS = ("model", "seed", "snapshot")
"""dbt's resource types that become tables."""

_DATABASE = "lake"
_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_SHORTEST_RETENTION = 31
_LAYERS = ("bronze", "silver", "gold")
_MATERIALIZED = ("table", "incremental", "ephemeral", "seed", "snapshot")
_ENFORCED = {"not_null", "unique", "primary_key", "check"}
_Document = Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """A model, seed or snapshot: its table, what it reads, and how a run builds it."""

    unique_id: str
    kind: str
    """dbt's resource type."""
    key: str
    """The key of its asset, as Dagster's selections write it."""
    name: str
    table: str
    parents: tuple[str, ...]
    """The unique_ids of the models it reads."""
    sources: Mapping[str, str]
    """Raw tables it reads, each with the key of the asset that loads it."""
    tags: frozenset[str]
    look_back_days: int
    """How many days after its own a change affects."""
    daily: bool
    """Whether it is built by window; any other model is built whole."""
    domain: str
    """`meta.domain`, else its folder; models of one domain are audited together."""
    refused: str = ""
    """Why it is not an asset; empty if it is one."""

    @property
    def static(self) -> bool:
        """Whether it reads no data; then it is built along if it is missing."""
        return STATIC in self.tags or self.kind == "seed"


Models = Mapping[str, Model]
"""By unique_id, parents first."""


def read_models(document: _Document, keys: Mapping[str, str]) -> Models:
    """Return the models of a manifest; `keys` are the asset keys of models and sources by unique_id."""
    found = {
        node["unique_id"]: _read_model(node, document, keys)
        for node in document["nodes"].values()
        if node["resource_type"] in KINDS and not is_ephemeral(node)
    }
    return {key: _refuse_duplicate(found[key], found) for key in _sort_parents_first(found)}


def choose_models(every: Models, names: Iterable[str]) -> list[Model]:
    """Return the models with the unique_ids or asset keys `names`, parents first.

    Raises ConfigError for a name of no model, or of several.
    """
    by_key: dict[str, list[str]] = {}
    for model in every.values():
        by_key.setdefault(model.key, []).append(model.unique_id)
    wanted: set[str] = set()
    unknown = []
    for name in names:
        match [name] if name in every else by_key.get(name, []):
            case [unique_id]:
                wanted.add(unique_id)
            case []:
                unknown.append(name)
            case [first, *_]:
                raise ConfigError(every[first].refused, next_step="give each an asset key of its own")
    if unknown:
        raise ConfigError(
            f"there is no model {', '.join(sorted(unknown))} in the dbt project",
            next_step=f"choose among {', '.join(by_key)}",
        )
    return [model for unique_id, model in every.items() if unique_id in wanted]


def find_descendants(every: Models, unique_ids: Iterable[str]) -> set[str]:
    """Return `unique_ids` and those of every model that reads one of them, directly or through others."""
    reached = set(unique_ids)
    for unique_id, model in every.items():
        if reached.intersection(model.parents):
            reached.add(unique_id)
    return reached


def is_daily(node: Mapping[str, Any]) -> bool:
    """Return whether a node of the manifest is a model that dbt builds in batches of a day."""
    config = node.get("config", {})
    return bool(
        node["resource_type"] == "model"
        and config.get("materialized") == "incremental"
        and config.get("incremental_strategy") == "microbatch"
        and config.get("event_time")
        and config.get("batch_size") == "day"
    )


def is_ephemeral(node: Mapping[str, Any]) -> bool:
    """Return whether a node of the manifest is an ephemeral model."""
    return bool(node["resource_type"] == "model" and node["config"].get("materialized") == "ephemeral")


def read_key_columns(node: Mapping[str, Any]) -> list[str]:
    """Return the columns of a node's `meta.key`, a name or a list of names."""
    key = (node["config"].get("meta") or {}).get("key") or ()
    return [key] if isinstance(key, str) else [str(column) for column in key]


def find_upstream(node: Mapping[str, Any], document: _Document) -> list[str]:
    """Return the unique_ids of the tables that a node reads, also through ephemeral models."""
    found: dict[str, None] = {}
    for key in node["depends_on"].get("nodes", ()):  # seeds have none
        parent = document["nodes"].get(key)
        if parent and is_ephemeral(parent):
            found.update(dict.fromkeys(find_upstream(parent, document)))
        else:
            found[key] = None
    return list(found)


def find_source_key(source: Mapping[str, Any], every: Models) -> dg.AssetKey:
    """Return the asset key of a source of the manifest, whether a model reads it or not."""
    table = f"{source['schema']}.{source['identifier']}"
    if known := next((model.sources[table] for model in every.values() if table in model.sources), None):
        return dg.AssetKey.from_user_string(known)
    dagster = (source["config"].get("meta") or {}).get("dagster") or {}
    return dg.AssetKey(dagster.get("asset_key") or [source["source_name"], source["name"]])


def _read_model(node: Mapping[str, Any], document: _Document, keys: Mapping[str, str]) -> Model:
    upstream = find_upstream(node, document)
    sources = [document["sources"][key] for key in upstream if key.startswith("source.")]
    meta = node["config"].get("meta") or {}
    return Model(
        unique_id=node["unique_id"],
        kind=node["resource_type"],
        key=keys[node["unique_id"]],
        name=node["name"],
        table=f"{node['schema']}.{node['alias']}",
        parents=tuple(key for key in upstream if key.split(".")[0] in KINDS),
        sources={f"{s['schema']}.{s['identifier']}": keys[s["unique_id"]] for s in sources},
        tags=frozenset(node["tags"]),
        look_back_days=_parse_days(meta.get("look_back_days")) or 0,
        daily=is_daily(node),
        domain=dagster_name(meta.get("domain") or _get_folder(node)),
        refused=_find_refusal(node),
    )


def _find_refusal(node: Mapping[str, Any]) -> str:
    """Return why a node cannot be a table of the lake, and what to do; empty if it can."""
    schema = node["schema"]
    if way := _find_config_refusal(node):
        return way
    if node["database"] != _DATABASE:
        return (
            f"its database {node['database']} is not {_DATABASE}, where all tables are; leave out +database"
        )
    if schema not in _LAYERS:
        return (
            f"its schema {schema} is not one of the layers {', '.join(_LAYERS)}; set +schema to one of them"
        )
    if not is_identifier(node["alias"]):
        return (
            f"a table cannot be called '{node['alias']}': set alias to a name of lower-case letters, digits"
            " and underscores, not starting with a digit, 63 characters at most"
        )
    if _parse_days((node["config"].get("meta") or {}).get("look_back_days")) is None:
        return "meta.look_back_days is not a number of days; write it like look_back_days: 3"
    kept = (node["config"].get("meta") or {}).get("retention")
    if kept is not None and (not is_daily(node) or parse_retention(kept) is None):
        return (
            "meta.retention is for a model with batches of a day, and of 31 days or more; write it like"
            " retention: 400d"
        )
    if _is_empty(node):
        return "its file is empty; write into it, or remove it"
    return ""


def _find_config_refusal(node: Mapping[str, Any]) -> str:
    """Return why a node cannot be built as its config says; empty if it can."""
    config = node["config"]
    kind = config.get("materialized")
    if node.get("language") == "python":
        return "Python models are not supported; write it in SQL, or as an asset of your own"
    if kind in ("view", "materialized_view"):
        return f"materialized '{kind}' is not supported; use ephemeral, or table where others read it"
    if kind not in _MATERIALIZED:
        return f"materialized '{kind}' is not supported; use table, and a hook for what goes beyond its rows"
    if functions := [key for key in node["depends_on"].get("nodes", ()) if key.startswith("function.")]:
        return f"it calls {', '.join(functions)}: functions of dbt are not supported; write a macro instead"
    if unknown := _list_constraints(node) - _ENFORCED:
        return f"constraint {', '.join(sorted(unknown))} is not enforced in the lake; use a data test instead"
    if kind == "incremental" and config.get("incremental_strategy") != "microbatch":
        strategy = config.get("incremental_strategy")
        return f"incremental_strategy '{strategy}' is not supported; use the strategy microbatch, or table"
    if kind == "incremental" and not is_daily(node):
        return "a microbatch model needs an event_time and batch_size day"
    if is_daily(node) and config.get("full_refresh") is True:
        return "full_refresh 'true' is not supported; leave it out, materialize has --full-refresh"
    return ""


def _list_constraints(node: Mapping[str, Any]) -> set[str]:
    """Return the types of the constraints that the enforced contract of a model has."""
    if not (node["config"].get("contract") or {}).get("enforced"):
        return set()
    declared = [node, *node["columns"].values()]
    return {str(found["type"]) for each in declared for found in each.get("constraints") or ()}


def _is_empty(node: Mapping[str, Any]) -> bool:
    if node["resource_type"] == "seed":
        return bool(node["checksum"]["checksum"] == _OF_NOTHING)
    return not node["raw_code"].strip()


def _parse_days(value: object) -> int | None:
    """Return a number of days, 0 if none is declared, None for an invalid value."""
    if value is None:
        return 0
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else None


def parse_retention(value: object) -> int | None:
    """Return the days of a retention such as `400d`; None for an invalid one."""
    days = _parse_days(str(value).removesuffix("d")) if str(value).endswith("d") else None
    return days if days and days >= _SHORTEST_RETENTION else None


def _get_folder(node: Mapping[str, Any]) -> str:
    """Return the folder of a node, or its package if it is in no folder."""
    in_file = node["resource_type"] == "snapshot" and node["original_file_path"].endswith(".sql")
    *folders, _ = node["fqn"][: -1 if node.get("version") or in_file else None]
    return str(folders[-1])


def _refuse_duplicate(model: Model, found: Models) -> Model:
    """Return the model, refused if another one has its asset key or its table."""
    if model.refused:
        return model
    for what, value in (("key", model.key), ("table", model.table)):
        same = sorted(other.unique_id for other in found.values() if getattr(other, what) == value)
        if len(same) > 1:
            called = {"key": "asset key", "table": "table"}[what]
            return replace(model, refused=f"{' and '.join(same)} have the same {called}, {value}")
    return model


def _sort_parents_first(found: Models) -> list[str]:
    order: dict[str, None] = {}

    def visit(unique_id: str) -> None:
        if unique_id not in order:
            for parent in found[unique_id].parents:
                if parent in found:
                    visit(parent)
            order[unique_id] = None

    for unique_id in sorted(found):
        visit(unique_id)
    return list(order)
