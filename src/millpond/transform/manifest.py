"""The parsed dbt project: kept below the home, parsed again only when its content changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from pydantic import TypeAdapter

from millpond.errors import ConfigError
from millpond.runtime.home import exclusive, layout
from millpond.settings import Settings, settings
from millpond.transform import engine
from millpond.transform.checks import DbtTest
from millpond.transform.fingerprint import compute_fingerprint, hash_settings
from millpond.transform.invocation import get_project_folder, get_variables, list_projects

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from millpond.transform.models import Models
    from millpond.transform.translator import MillpondDbtTranslator

_log = logging.getLogger(__name__)
_broken: set[str] = set()
"""Fingerprints of projects that failed to parse in this process."""


NO_MANIFEST: Final[dict[str, Any]] = {"nodes": {}, "sources": {}, "exposures": {}}
"""The manifest of a project that never parsed."""


@dataclass(frozen=True)
class ParsedProject:
    """A parsed dbt project; its folder has the manifest in two formats, specs, tests and warnings."""

    folder: Path
    project: str = ""
    """Its folder, as in `list_projects`."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Keys of sources, each with the key of another project's model that builds the table."""
    refused: tuple[tuple[str, str], ...] = ()
    """Models that are left out because of another project's, by unique_id, each with the reason."""

    @property
    def parts(self) -> tuple[ParsedProject, ...]:
        """The projects it consists of; see `projects.CombinedProjects`."""
        return (self,)

    @property
    def json(self) -> Path:
        """The manifest as JSON."""
        return self.folder / "manifest.json"

    def document(self) -> dict[str, Any]:
        """Return the manifest as a dictionary; do not change it."""
        return cast("dict[str, Any]", _read(self.json))

    def checks(self) -> dict[str, DbtTest]:
        """Return the tests by unique_id."""
        found: dict[str, DbtTest] = _read_instances(self.folder / "checks.json", DbtTest)
        if not self.renamed:
            return found
        keys = dict(self.renamed)
        return {name: replace(each, asset=keys.get(each.asset, each.asset)) for name, each in found.items()}

    def checks_of_assets(self) -> set[str]:
        """Return the unique_ids of the tests that Dagster shows as checks of assets."""
        return {check["unique_id"] for found in self.specs().values() for check in found["checks"]}

    def translator(self) -> MillpondDbtTranslator:
        """Return the translator of the settings; imports dagster-dbt."""
        return _make_cached_translator(self.folder, settings().dbt_translator)

    def warnings(self) -> list[str]:
        """Return dbt's warnings from parsing the project, with file and node."""
        return cast("list[str]", _read(self.folder / "warnings.json"))

    def specs(self) -> dict[str, Any]:
        """Return the serialized specs of the models, see `model_specs.load_specs`."""
        found = cast("dict[str, Any]", _read(self.folder / "specs.json"))
        return replace_keys(found, dict(self.renamed)) if self.renamed else found

    def lineage(self) -> dict[str, Any]:
        """Return what `lineage.trace_lineage` found, for the next parse."""
        return cast("dict[str, Any]", _read(self.folder / "lineage.json"))

    def models(self) -> Models:
        """Return the models by unique_id, parents first."""
        from millpond.transform.models import Model

        found: dict[str, Model] = _read_instances(self.folder / "models.json", Model)
        if not self.renamed and not self.refused:
            return found
        keys, refused = dict(self.renamed), dict(self.refused)
        return {
            name: replace(
                each,
                sources={table: keys.get(key, key) for table, key in each.sources.items()},
                refused=each.refused or refused.get(name, ""),
            )
            for name, each in found.items()
        }

    def load_manifest(self) -> Manifest:
        """Return the manifest as dbt's object, with which dbt parses nothing."""
        manifest = _read_manifest(
            self.folder / "manifest.msgpack", get_project_folder(settings(), self.project)
        )
        _forget_compiled(manifest)
        return manifest


def manifest_path(settings: Settings) -> Path:
    """Return the path of the up-to-date `manifest.json`; see `load_project`."""
    return load_project(settings).json


def load_project(settings: Settings) -> ParsedProject:
    """Return the project as its files are now; parses it if necessary.

    Opens no connection. Raises ConfigError with dbt's message if the project does not parse.
    """
    names = list_projects(settings)
    if len(names) == 1:
        return load_one_project(settings, names[0])
    from millpond.transform.projects import combine_projects

    return combine_projects([load_one_project(settings, name) for name in names])


def load_one_project(settings: Settings, project: str) -> ParsedProject:
    """Return one of several projects as `load_project` does."""
    return _load_or_parse(settings, project, compute_fingerprint(settings, project))


def is_parsed(settings: Settings) -> bool:
    """Return whether `load_project` would parse nothing."""
    return all(
        each.json.exists() or _get_shipped(settings, name, each.folder.name).json.exists()
        for name in list_projects(settings)
        for each in [_get_kept(settings, name, compute_fingerprint(settings, name))]
    )


def _get_shipped(settings: Settings, project: str, name: str) -> ParsedProject:
    return ParsedProject(get_shipped_folder(settings, project) / name, project)


def _get_kept(settings: Settings, project: str, name: str) -> ParsedProject:
    return ParsedProject(layout(settings).dbt / "manifests" / name, project)


def _load_or_parse(settings: Settings, project: str, name: str) -> ParsedProject:
    """Return a project, whose fingerprint is `name`."""
    home = layout(settings).dbt
    if (ready := _get_shipped(settings, project, name)).json.exists():
        return ready
    parsed = _get_kept(settings, project, name)
    if not parsed.json.exists():
        with exclusive(home / "parse.lock", doing="parsing the dbt project"):
            if not parsed.json.exists():
                from millpond.transform.dbt_import import defer_class_code

                defer_class_code()
                from millpond.transform.parsing import parse

                last = _find_last(settings, project)
                parse(parsed.folder, settings, make_translator, last.lineage() if last else {}, project)
    with suppress(OSError):  # a read-only home
        os.utime(parsed.folder)
    return parsed


def load_project_or_last(settings: Settings) -> ParsedProject | None:
    """Return the project as its files are now or, if it does not parse, as it last did; None if it never did.

    For everything except building models, which needs `load_project`.
    """
    names = list_projects(settings)
    if len(names) == 1:
        return load_one_project_or_last(settings, names[0])
    from millpond.transform.projects import combine_projects

    found = [load_one_project_or_last(settings, name) for name in names]
    return combine_projects([each for each in found if each]) if any(found) else None


def load_one_project_or_last(settings: Settings, project: str) -> ParsedProject | None:
    """Return one of several projects as `load_project_or_last` does."""
    name = compute_fingerprint(settings, project)
    if name not in _broken:
        try:
            return _load_or_parse(settings, project, name)
        except ConfigError as error:
            what = error.what
    last = _find_last(settings, project)
    if name not in _broken:
        _broken.add(name)
        shown = "its models are shown as they were the last time it did" if last else "no model is shown"
        _log.warning("%s\n%s; building them fails", what, shown)
    return last


def _find_last(settings: Settings, project: str) -> ParsedProject | None:
    """Return the last parsed state with these settings, whatever the files were."""
    folders = [get_shipped_folder(settings, project), layout(settings).dbt / "manifests"]
    pattern = f"{hash_settings(settings, project)}-*/manifest.json"
    found = [path for folder in folders for path in folder.glob(pattern)]
    return (
        ParsedProject(max(found, key=lambda path: path.parent.stat().st_mtime).parent, project)
        if found
        else None
    )


def get_shipped_folder(settings: Settings, project: str = "") -> Path:
    """Return the folder of parsed states that come with the project, as in our container image."""
    return settings.project / (project or list_projects(settings)[0]) / "parsed"


current, shipped = load_project, get_shipped_folder
"""Their former names, which docker/dagster/build_manifest.py of existing projects imports."""


def make_translator(settings: Settings, document: dict[str, Any]) -> MillpondDbtTranslator:
    """Return the translator of the settings; imports dagster-dbt."""
    from millpond.transform.translator import load_translator

    kind = engine.get_engine(settings).kind
    return load_translator(settings.dbt_translator, document, get_variables(settings), kind)


@lru_cache(2)
def _make_cached_translator(folder: Path, _: str | None) -> MillpondDbtTranslator:
    return make_translator(settings(), ParsedProject(folder).document())


def replace_keys(specs: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return specs of models with keys of what they read replaced."""

    def key(path: list[str]) -> list[str]:
        return keys[name].split("/") if (name := "/".join(path)) in keys else path

    return {
        unique_id: {
            "spec": {
                **each["spec"],
                "deps": [[key(path), mapping] for path, mapping in each["spec"]["deps"]],
            },
            "checks": [{**check, "asset": key(check["asset"])} for check in each["checks"]],
        }
        for unique_id, each in specs.items()
    }


@lru_cache(12)
def _read(file: Path) -> Any:
    return orjson.loads(file.read_bytes())


@lru_cache(6)
def _read_instances(file: Path, of: type[Any]) -> dict[str, Any]:
    return TypeAdapter(dict[str, of]).validate_json(file.read_bytes())  # type: ignore[valid-type]


def _forget_compiled(manifest: Manifest) -> None:
    """Remove compiled code from the manifest.

    dbt keeps it there after a call, and compiling a node again leaves out the SQL of ephemeral models.
    """
    nodes: Any = manifest.nodes.values()
    for node in nodes:
        if getattr(node, "compiled", False):
            node.compiled, node.compiled_code = False, None
            node.extra_ctes, node.extra_ctes_injected = [], False


@lru_cache(2)
def _read_manifest(path: Path, project: Path) -> Manifest:
    from dbt.contracts.graph.manifest import Manifest

    from millpond.internals.dbt import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(path.read_bytes(), decoder=extended_mashumuro_decoder)
    # dbt reads seeds from where they were parsed, which may be another copy of the project.
    for node in manifest.nodes.values():
        if root := getattr(node, "root_path", None):
            of_package = node.package_name != manifest.metadata.project_name
            node.root_path = str(project / "dbt_packages" / Path(root).name if of_package else project)  # type: ignore[union-attr]
    manifest.build_flat_graph()  # type: ignore[no-untyped-call]
    return manifest
