"""The models of the dbt project as the platform sees them, read from the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.errors import ConfigError

STATIC = "static"


@dataclass(frozen=True)
class Model:
    """One model: its table, what it reads, and how a run treats it."""

    name: str
    unique_id: str
    table: str
    parents: tuple[str, ...]
    """Names of the models it reads."""
    sources: Mapping[str, str]
    """Raw tables it reads, each with the key of the asset that loads it."""
    tags: frozenset[str]
    look_back_days: int
    """How many days after its own a change reaches."""
    daily: bool
    """Whether it is built by window; any other model is built whole."""
    domain: str
    """What it is about: `meta.domain`, else its folder; models of one domain are audited together."""

    @property
    def static(self) -> bool:
        """Whether it reads no data, so that it is built along wherever it is missing."""
        return STATIC in self.tags


Models = Mapping[str, Model]


def models(document: Mapping[str, Any]) -> Models:
    """Return the models of a manifest by name, parents first."""
    found = {
        node["name"]: _model(node, document)
        for node in document["nodes"].values()
        if node["resource_type"] == "model" and not _is_ephemeral(node)
    }
    return {name: found[name] for name in _parents_first(found)}


def chosen(every: Models, names: Iterable[str]) -> list[Model]:
    """Return the models called `names`, parents first; raises ConfigError for a name that is no model."""
    wanted = set(names)
    if unknown := sorted(wanted - set(every)):
        raise ConfigError(
            f"there is no model {', '.join(unknown)} in the dbt project",
            next_step=f"choose among {', '.join(every)}",
        )
    return [model for name, model in every.items() if name in wanted]


def descendants(every: Models, names: Iterable[str]) -> set[str]:
    """Return `names` and every model that reads one of them, directly or through others."""
    reached = set(names)
    for name, model in every.items():
        if reached.intersection(model.parents):
            reached.add(name)
    return reached


def is_daily(node: Mapping[str, Any]) -> bool:
    """Return whether a node of the manifest is a model that dbt builds by batches of a day."""
    config = node.get("config", {})
    return bool(
        node["resource_type"] == "model"
        and config.get("materialized") == "incremental"
        and config.get("incremental_strategy") == "microbatch"
        and config.get("event_time")
        and config.get("batch_size") == "day"
    )


def upstream_tables(node: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """Return the unique_ids of what a node reads, through models that are ephemeral and so no tables."""
    found: dict[str, None] = {}
    for key in node["depends_on"]["nodes"]:
        parent = document["nodes"].get(key)
        if parent and _is_ephemeral(parent):
            found.update(dict.fromkeys(upstream_tables(parent, document)))
        else:
            found[key] = None
    return list(found)


def _is_ephemeral(node: Mapping[str, Any]) -> bool:
    return bool(node["resource_type"] == "model" and node["config"].get("materialized") == "ephemeral")


def _model(node: Mapping[str, Any], document: Mapping[str, Any]) -> Model:
    upstream = upstream_tables(node, document)
    sources = [document["sources"][key] for key in upstream if key.startswith("source.")]
    return Model(
        name=node["name"],
        unique_id=node["unique_id"],
        table=f"{node['schema']}.{node['alias']}",
        parents=tuple(document["nodes"][key]["name"] for key in upstream if key.startswith("model.")),
        sources={f"{s['schema']}.{s['identifier']}": _asset_key(s) for s in sources},
        tags=frozenset(node["tags"]),
        look_back_days=int(node["config"]["meta"].get("look_back_days", 0)),
        daily=is_daily(node),
        domain=node["config"]["meta"].get("domain") or node["fqn"][-2],
    )


def _asset_key(source: Mapping[str, Any]) -> str:
    key: list[str] = (
        source["config"]["meta"].get("dagster", {}).get("asset_key", [source["source_name"], source["name"]])
    )
    return "/".join(key)


def _parents_first(found: Models) -> list[str]:
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for parent in found[name].parents:
                visit(parent)
            order.append(name)

    for name in sorted(found):
        visit(name)
    return order
