"""The models of the dbt project as the platform sees them, read from the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.errors import ConfigError

DAILY = "daily"
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
    domain: str
    """What it is about: `meta.domain`, else its folder; models of one domain are audited together."""

    @property
    def daily(self) -> bool:
        """Whether it is built by window; any other model is built whole."""
        return DAILY in self.tags

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
        if node["resource_type"] == "model"
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


def _model(node: Mapping[str, Any], document: Mapping[str, Any]) -> Model:
    upstream = node["depends_on"]["nodes"]
    sources = [document["sources"][key] for key in upstream if key.startswith("source.")]
    return Model(
        name=node["name"],
        unique_id=node["unique_id"],
        table=f"{node['schema']}.{node['alias']}",
        parents=tuple(document["nodes"][key]["name"] for key in upstream if key.startswith("model.")),
        sources={f"{s['schema']}.{s['identifier']}": _asset_key(s) for s in sources},
        tags=frozenset(node["tags"]),
        look_back_days=int(node["config"]["meta"].get("look_back_days", 0)),
        domain=node["config"]["meta"].get("domain") or node["fqn"][-2],
    )


def _asset_key(source: Mapping[str, Any]) -> str:
    key: list[str] = source["config"]["meta"].get("dagster", {}).get("asset_key", [source["name"]])
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
