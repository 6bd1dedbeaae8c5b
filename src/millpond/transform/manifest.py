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
from millpond.transform.checks import Check
from millpond.transform.fingerprint import fingerprint, of_settings
from millpond.transform.invocation import project_folder, project_names, variables_of

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from millpond.transform.models import Models
    from millpond.transform.translator import MillpondDbtTranslator

_log = logging.getLogger(__name__)
_broken: set[str] = set()
"""Fingerprints of projects that did not parse in this process."""


NO_MANIFEST: Final[dict[str, Any]] = {"nodes": {}, "sources": {}, "exposures": {}}
"""Stands for the manifest of a project that never parsed."""


@dataclass(frozen=True)
class Parsed:
    """One parsed state of the dbt project; its folder holds the manifest twice, specs, tests and warnings."""

    folder: Path
    project: str = ""
    """Its folder, as `project_names` has it."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Keys that sources have here, each with that of the model of another project which makes the table."""
    refused: tuple[tuple[str, str], ...] = ()
    """Models that are none beside those of another project, by unique_id, each with the reason."""

    @property
    def parts(self) -> tuple[Parsed, ...]:
        """The projects that this stands for; see `projects.Several`."""
        return (self,)

    @property
    def json(self) -> Path:
        """The manifest as JSON."""
        return self.folder / "manifest.json"

    def document(self) -> dict[str, Any]:
        """Return the manifest as a dictionary; do not change it."""
        return cast("dict[str, Any]", _read(self.json))

    def checks(self) -> dict[str, Check]:
        """Return the tests by unique_id."""
        found: dict[str, Check] = _instances(self.folder / "checks.json", Check)
        if not self.renamed:
            return found
        keys = dict(self.renamed)
        return {name: replace(each, asset=keys.get(each.asset, each.asset)) for name, each in found.items()}

    def checks_of_assets(self) -> set[str]:
        """Return the unique_ids of the tests that Dagster shows as checks of assets."""
        return {check["unique_id"] for found in self.specs().values() for check in found["checks"]}

    def translator(self) -> MillpondDbtTranslator:
        """Return the translator of the settings; imports dagster-dbt."""
        return _translator(self.folder, settings().dbt_translator)

    def warnings(self) -> list[str]:
        """Return what dbt warned of when it parsed the project, with file and node."""
        return cast("list[str]", _read(self.folder / "warnings.json"))

    def specs(self) -> dict[str, Any]:
        """Return what Dagster shows of the models, see `prepared.load_specs`."""
        found = cast("dict[str, Any]", _read(self.folder / "specs.json"))
        return with_keys(found, dict(self.renamed)) if self.renamed else found

    def lineage(self) -> dict[str, Any]:
        """Return what `lineage.trace_lineage` found, for the next parse."""
        return cast("dict[str, Any]", _read(self.folder / "lineage.json"))

    def models(self) -> Models:
        """Return the models by unique_id, parents first."""
        from millpond.transform.models import Model

        found: dict[str, Model] = _instances(self.folder / "models.json", Model)
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

    def warm(self) -> Manifest:
        """Return the manifest as dbt wants it, so that a run parses nothing."""
        manifest = _warm(self.folder / "manifest.msgpack", project_folder(settings(), self.project))
        _forget_compiled(manifest)
        return manifest


def manifest_path(settings: Settings) -> Path:
    """Return the path of the up-to-date `manifest.json`; see `current`."""
    return current(settings).json


def current(settings: Settings) -> Parsed:
    """Return the parsed project as the dbt folder is now; parses it if nobody has yet.

    Opens no connection. Raises ConfigError with dbt's message if the project does not parse.
    """
    names = project_names(settings)
    if len(names) == 1:
        return current_of(settings, names[0])
    from millpond.transform.projects import combined

    return combined([current_of(settings, name) for name in names])


def current_of(settings: Settings, project: str) -> Parsed:
    """Return one of the projects as it is now; else as `current`."""
    return _parsed(settings, project, fingerprint(settings, project))


def _parsed(settings: Settings, project: str, name: str) -> Parsed:
    """Return a project, whose fingerprint is `name`."""
    home = layout(settings).dbt
    if (ready := Parsed(shipped(settings, project) / name, project)).json.exists():
        return ready
    parsed = Parsed(home / "manifests" / name, project)
    if not parsed.json.exists():
        with exclusive(home / "parse.lock", doing="parsing the dbt project"):
            if not parsed.json.exists():
                from millpond.transform.lean_classes import lighten

                lighten()
                from millpond.transform.parsing import parse

                last = _last(settings, project)
                parse(parsed.folder, settings, translator, last.lineage() if last else {}, project)
    with suppress(OSError):  # a home that this process may only read
        os.utime(parsed.folder)
    return parsed


def described(settings: Settings) -> Parsed | None:
    """Return the project as it is now or, if it does not parse, as it was when last it did; None if never.

    This is for showing models and for all that needs none; building them needs `current`, which raises.
    """
    names = project_names(settings)
    if len(names) == 1:
        return described_of(settings, names[0])
    from millpond.transform.projects import combined

    found = [described_of(settings, name) for name in names]
    return combined([each for each in found if each]) if any(found) else None


def described_of(settings: Settings, project: str) -> Parsed | None:
    """Return one of the projects; else as `described`."""
    name = fingerprint(settings, project)
    if name not in _broken:
        try:
            return _parsed(settings, project, name)
        except ConfigError as error:
            what = error.what
    last = _last(settings, project)
    if name not in _broken:
        _broken.add(name)
        shown = "its models are shown as they were when last it did" if last else "no model is shown"
        _log.warning("%s\n%s; building them fails", what, shown)
    return last


def _last(settings: Settings, project: str) -> Parsed | None:
    """Return what was last parsed with these settings and this form, whatever the files were."""
    folders = [shipped(settings, project), layout(settings).dbt / "manifests"]
    pattern = f"{of_settings(settings, project)}-*/manifest.json"
    found = [path for folder in folders for path in folder.glob(pattern)]
    return Parsed(max(found, key=lambda path: path.parent.stat().st_mtime).parent, project) if found else None


def shipped(settings: Settings, project: str = "") -> Path:
    """Return the folder in which parsed states come with the project, as in our container image."""
    return settings.project / (project or project_names(settings)[0]) / "parsed"


def translator(settings: Settings, document: dict[str, Any]) -> MillpondDbtTranslator:
    """Return the translator of the settings; imports dagster-dbt."""
    from millpond.transform.translator import load_translator

    kind = engine.of(settings).kind
    return load_translator(settings.dbt_translator, document, variables_of(settings), kind)


@lru_cache(2)
def _translator(folder: Path, _: str | None) -> MillpondDbtTranslator:
    return translator(settings(), Parsed(folder).document())


def with_keys(specs: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return specs of models with other keys of what they read."""

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
def _instances(file: Path, of: type[Any]) -> dict[str, Any]:
    return TypeAdapter(dict[str, of]).validate_json(file.read_bytes())  # type: ignore[valid-type]


def _forget_compiled(manifest: Manifest) -> None:
    """Have dbt compile each node as for the first time.

    What a call of dbt compiled stays in the manifest, and compiling it again leaves out the SQL of ephemeral
    models.
    """
    nodes: Any = manifest.nodes.values()
    for node in nodes:
        if getattr(node, "compiled", False):
            node.compiled, node.compiled_code = False, None
            node.extra_ctes, node.extra_ctes_injected = [], False


@lru_cache(2)
def _warm(path: Path, project: Path) -> Manifest:
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
