"""Several dbt projects in one platform: models that read another project's, and duplicate models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from millpond.errors import ConfigError
from millpond.settings import Settings
from millpond.transform.checks import DbtTest
from millpond.transform.invocation import list_projects
from millpond.transform.manifest import ParsedProject, load_one_project, load_project, load_project_or_last
from millpond.transform.models import Model, Models, choose_models, find_source_key


@dataclass(frozen=True)
class CombinedProjects(ParsedProject):
    """All dbt projects together; each is parsed, and built, on its own."""

    each: tuple[ParsedProject, ...] = ()

    @property
    def parts(self) -> tuple[ParsedProject, ...]:
        """The projects, in their configured order."""
        return self.each

    def document(self) -> dict[str, Any]:
        """Return one manifest with the nodes of all; its metadata is that of the first project."""
        found = dict(self.each[0].document())
        for other in self.each[1:]:
            for name, content in other.document().items():
                if isinstance(content, dict) and name != "metadata":
                    found[name] = {**found.get(name, {}), **content}
        return found

    def checks(self) -> dict[str, DbtTest]:
        """Return the tests of all projects by unique_id."""
        return {key: check for part in self.each for key, check in part.checks().items()}

    def specs(self) -> dict[str, Any]:
        """Return the serialized specs of the models of all projects."""
        return {key: spec for part in self.each for key, spec in part.specs().items()}

    def models(self) -> Models:
        """Return the models of all projects by unique_id."""
        return {key: model for part in self.each for key, model in part.models().items()}

    def warnings(self) -> list[str]:
        """Return dbt's warnings of all projects."""
        return [warning for part in self.each for warning in part.warnings()]


def combine_projects(parts: Sequence[ParsedProject]) -> ParsedProject:
    """Return the projects as one. Raises ConfigError if two of them have the same name."""
    names: dict[str, str] = {}
    for part in parts:
        name = part.document()["metadata"]["project_name"]
        if name in names:
            raise ConfigError(
                f"the dbt projects in {names[name]} and {part.project} are both called {name}",
                unharmed="all data; nothing was started",
                next_step="give one of them another name in its dbt_project.yml, there and below `models:`",
            )
        names[name] = part.project
    refused = _find_duplicates(parts)
    makers = {
        model.table: (part.project, model.key)
        for part in parts
        for model in part.models().values()
        if not model.refused
    }
    each = tuple(
        replace(
            part,
            renamed=tuple(sorted(_find_keys_of_others(part, makers).items())),
            refused=tuple((key, why) for key, why in refused.items() if key in part.models()),
        )
        for part in parts
    )
    return CombinedProjects(parts[0].folder, parts[0].project, each=each)


def load_project_of(settings: Settings, names: Iterable[str]) -> tuple[ParsedProject, Models]:
    """Return the project of the models `names` as it is now, and the models of all projects.

    Raises ConfigError if it does not parse, or if they belong to several; other projects may be broken.
    """
    found = None if len(list_projects(settings)) == 1 else load_project_or_last(settings)
    if found is None:
        parsed = load_project(settings)
        return parsed, parsed.models()
    every, ids = found.models(), set()
    for model in choose_models(every, names):
        ids.add(model.unique_id)
    for part in found.parts:
        if ids <= part.models().keys():
            now = load_part(settings, part)
            return now, {**every, **now.models()}
    raise ConfigError(
        f"{', '.join(sorted(ids))} are models of several dbt projects, which are built one after another",
        unharmed="every table; nothing was built",
        next_step="build those of each project by themselves",
    )


def load_part(settings: Settings, part: ParsedProject) -> ParsedProject:
    """Return a project as its files are now; raises ConfigError if it does not parse."""
    now = load_one_project(settings, part.project)
    return replace(now, renamed=part.renamed, refused=part.refused)


def _find_duplicates(parts: Sequence[ParsedProject]) -> dict[str, str]:
    """Return the models with the asset key or table of another project's model, and why they are left out."""
    found: dict[str, str] = {}
    for what, called in (("key", "asset key"), ("table", "table")):
        by: dict[str, list[tuple[ParsedProject, Model]]] = {}
        for part in parts:
            for model in part.models().values():
                if not model.refused:
                    by.setdefault(getattr(model, what), []).append((part, model))
        for value, same in by.items():
            if len({part.project for part, _ in same}) > 1:
                files = " and ".join(_format_file(part, model) for part, model in same)
                for _, model in same:
                    found.setdefault(model.unique_id, f"{files} have the same {called}, {value}")
    return found


def _format_file(part: ParsedProject, model: Model) -> str:
    return f"{part.project}/{part.document()['nodes'][model.unique_id]['original_file_path']}"


def _find_keys_of_others(part: ParsedProject, makers: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the keys of sources that are tables of another project's models, with the keys of the models."""
    found = {}
    for source in part.document()["sources"].values():
        maker, key = makers.get(f"{source['schema']}.{source['identifier']}", (part.project, ""))
        declared = ((source["config"].get("meta") or {}).get("dagster") or {}).get("asset_key")
        if maker != part.project and not declared:
            found[find_source_key(source, part.models()).to_user_string()] = key
    return found
