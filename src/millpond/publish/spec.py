"""What a gold model may declare to be published, read from dbt's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from millpond.errors import ConfigError
from millpond.naming import dagster_name, identifier

Columns = tuple[str, ...]


class PublishDeclaration(BaseModel):
    """`meta.publish` of a model: `{key: [reading_date], indexes: [[device, reading_at]], mode: changes}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Columns = Field(min_length=1, description="columns of the primary key")
    indexes: tuple[Columns, ...] = Field(
        (), description="further indexes, each a column or a list of columns"
    )
    mode: Literal["changes", "all"] = Field(
        "changes",
        description="`changes` writes rows that differ; `all` suits marts in which every row differs",
    )

    @field_validator("indexes", mode="before")
    @classmethod
    def _column_or_columns(cls, value: Any) -> Any:
        return [[v] if isinstance(v, str) else v for v in value] if isinstance(value, list | tuple) else value


class MartColumn(BaseModel):
    """A column as the model documents it."""

    model_config = ConfigDict(frozen=True)

    name: str
    data_type: str | None = None
    description: str = ""
    sensitive: bool = False
    """Whether errors and pages show no value of it."""


class MartSpec(BaseModel):
    """A mart: the gold table `<schema>.<name>` that is published to a Postgres table of the same name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    table: str
    model: str = ""
    """The asset key of the model that builds the table, as Dagster writes it."""
    declared: PublishDeclaration
    domain: str = "marts"
    description: str = ""
    columns: tuple[MartColumn, ...] = ()
    owner: str | None = None
    tags: tuple[str, ...] = ()
    path: str = ""

    @property
    def is_sensitive(self) -> bool:
        """Whether it has a column of which no value is shown."""
        return any(column.sensitive for column in self.columns)

    @property
    def comments(self) -> dict[str, str]:
        """Descriptions of the columns that have one."""
        return {c.name: c.description for c in self.columns if c.description}


def read_marts(
    manifest: Mapping[str, Any], keys: Mapping[str, str] | None = None
) -> tuple[list[MartSpec], list[ConfigError]]:
    """Return the marts that the models of dbt's manifest declare, by name, and the errors of the others.

    `keys` are the asset keys of models by unique_id, where they are not the names of the models.
    """
    found, mistakes = [], []
    for node in find_declarations(manifest):
        try:
            found.append(_read_mart(node, manifest, keys or {}))
        except ConfigError as error:
            mistakes.append(error)
    return sorted(found, key=lambda mart: mart.name), mistakes


def find_declarations(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes of the models that declare a mart, valid or not."""
    return [
        n for n in manifest["nodes"].values() if n["resource_type"] == "model" and "publish" in _get_meta(n)
    ]


def _read_mart(node: Mapping[str, Any], manifest: Mapping[str, Any], keys: Mapping[str, str]) -> MartSpec:
    where = f"meta.publish of model {node['name']} ({node['original_file_path']})"
    try:
        declared = PublishDeclaration.model_validate(_get_meta(node)["publish"])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        at = ".".join(map(str, problem["loc"]))
        raise ConfigError(
            f"{where}: {at + ': ' if at else ''}{problem['msg']}",
            next_step="write it like `publish: {key: [reading_date], indexes: [[device, reading_at]]}`",
        ) from None
    columns = tuple(
        MartColumn(
            name=c["name"],
            data_type=c.get("data_type"),
            description=(c.get("description") or "").strip(),
            sensitive=bool(_get_column_meta(c).get("sensitive")),
        )
        for c in node["columns"].values()
    )
    _refuse_unknown_columns(where, declared, {c.name for c in columns})
    return MartSpec(
        name=identifier(node["alias"], "mart"),
        table=f"{node['schema']}.{node['alias']}",
        model=keys.get(node.get("unique_id", ""), node["name"]),
        declared=declared,
        domain=dagster_name(_get_meta(node).get("domain") or node["fqn"][-2]),
        description=(node["description"] or "").strip(),
        columns=columns,
        owner=_find_owner(node, manifest),
        tags=tuple(node["tags"]),
        path=node["original_file_path"],
    )


def _refuse_unknown_columns(where: str, declared: PublishDeclaration, known: set[str]) -> None:
    for name in (*declared.key, *(column for index in declared.indexes for column in index)):
        if known and name not in known:
            raise ConfigError(
                f"{where} names the column {name!r}, which the model does not have",
                next_step=f"use one of {', '.join(sorted(known))}",
            )


def _find_owner(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    group = node["config"].get("group")
    for found in manifest.get("groups", {}).values():
        if group and found["name"] == group:
            email = found["owner"].get("email")
            return str(email if isinstance(email, str) else email[0]) if email else f"team:{group}"
    return None


def _get_meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    meta: Mapping[str, Any] = node["config"].get("meta") or {}
    return meta


def _get_column_meta(column: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**(column.get("meta") or {}), **((column.get("config") or {}).get("meta") or {})}
