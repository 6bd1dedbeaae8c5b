"""The parsed dbt project: kept below the home, parsed again only when its content changed."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from pydantic import TypeAdapter

from millpond.errors import ConfigError
from millpond.runtime import dbt_package
from millpond.runtime.dbt_package import is_installed_copy
from millpond.runtime.home import layout
from millpond.runtime.locks import exclusive
from millpond.settings import Settings, process_environment, settings
from millpond.transform import engine
from millpond.transform.checks import Check
from millpond.transform.invocation import project_folder, variables_of

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

    from millpond.transform.models import Models
    from millpond.transform.translator import MillpondDbtTranslator

_IGNORED = frozenset({"target", "logs", "parsed", ".user.yml"})
_log = logging.getLogger(__name__)
_ENVIRONMENT = re.compile(rb"""\benv_var\(\s*["'](\w+)["']""")
_FORM = "13"
"""Of the files a parse leaves behind; a new one makes former files unknown."""
_broken: set[str] = set()
"""Fingerprints of projects that did not parse in this process."""


NO_MANIFEST: Final[dict[str, Any]] = {"nodes": {}, "sources": {}, "exposures": {}}
"""Stands for the manifest of a project that never parsed."""


@dataclass(frozen=True)
class Parsed:
    """One parsed state of the dbt project; its folder holds the manifest twice, specs, tests and warnings."""

    folder: Path

    @property
    def json(self) -> Path:
        """The manifest as JSON."""
        return self.folder / "manifest.json"

    def document(self) -> dict[str, Any]:
        """Return the manifest as a dictionary; do not change it."""
        return cast("dict[str, Any]", _read(self.json))

    def checks(self) -> dict[str, Check]:
        """Return the tests by unique_id."""
        return _instances(self.folder / "checks.json", Check)

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
        return cast("dict[str, Any]", _read(self.folder / "specs.json"))

    def lineage(self) -> dict[str, Any]:
        """Return what `lineage.trace_lineage` found, for the next parse."""
        return cast("dict[str, Any]", _read(self.folder / "lineage.json"))

    def models(self) -> Models:
        """Return the models by unique_id, parents first."""
        from millpond.transform.models import Model

        return _instances(self.folder / "models.json", Model)

    def warm(self) -> Manifest:
        """Return the manifest as dbt wants it, so that a run parses nothing."""
        manifest = _warm(self.folder / "manifest.msgpack", project_folder(settings()))
        _forget_compiled(manifest)
        return manifest


def manifest_path(settings: Settings) -> Path:
    """Return the path of the up-to-date `manifest.json`; see `current`."""
    return current(settings).json


def current(settings: Settings) -> Parsed:
    """Return the parsed project as the dbt folder is now; parses it if nobody has yet.

    Opens no connection. Raises ConfigError with dbt's message if the project does not parse.
    """
    return _parsed(settings, fingerprint(settings))


def _parsed(settings: Settings, name: str) -> Parsed:
    """Return the project, whose fingerprint is `name`."""
    home = layout(settings).dbt
    if (ready := Parsed(shipped(settings) / name)).json.exists():
        return ready
    parsed = Parsed(home / "manifests" / name)
    if not parsed.json.exists():
        with exclusive(home / "parse.lock", doing="parsing the dbt project"):
            if not parsed.json.exists():
                from millpond.transform.lean_classes import lighten

                lighten()
                from millpond.transform.parsing import parse

                last = _last(settings)
                parse(parsed.folder, settings, translator, last.lineage() if last else {})
    with suppress(OSError):  # a home that this process may only read
        os.utime(parsed.folder)
    return parsed


def described(settings: Settings) -> Parsed | None:
    """Return the project as it is now or, if it does not parse, as it was when last it did; None if never.

    This is for showing models and for all that needs none; building them needs `current`, which raises.
    """
    name = fingerprint(settings)
    if name not in _broken:
        try:
            return _parsed(settings, name)
        except ConfigError as error:
            what = error.what
    last = _last(settings)
    if name not in _broken:
        _broken.add(name)
        shown = "its models are shown as they were when last it did" if last else "no model is shown"
        _log.warning("%s\n%s; building them fails", what, shown)
    return last


def _last(settings: Settings) -> Parsed | None:
    """Return what was last parsed with these settings and this form, whatever the files were."""
    folders = [shipped(settings), layout(settings).dbt / "manifests"]
    found = [path for folder in folders for path in folder.glob(f"{_of_settings(settings)}-*/manifest.json")]
    return Parsed(max(found, key=lambda path: path.parent.stat().st_mtime).parent) if found else None


def shipped(settings: Settings) -> Path:
    """Return the folder in which parsed states come with the project, as in our container image."""
    return settings.project / "dbt" / "parsed"


def fingerprint(settings: Settings) -> str:
    """Return a hash of all that parsing depends on: settings, versions, the dbt folder, what it reads of env.

    Packages are part of the folder, also where they are links to elsewhere.
    """
    project = project_folder(settings)
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(
            f"there is no dbt project in {project}",
            next_step="run Millpond in a folder that holds sources/ and dbt/, or set MILLPOND_PROJECT to it",
        )
    digest, read = hashlib.sha256(), set()
    for file in _files(project):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(project)}\0{len(content)}\0".encode() + content)
        read.update(_ENVIRONMENT.findall(content))
    digest.update(dbt_package.digest().encode())
    environment = process_environment()
    for name in sorted(read):
        digest.update(f"{name.decode()}={environment.get(name.decode())!r}\0".encode())
    return f"{_of_settings(settings)}-{digest.hexdigest()[:16]}"


def _of_settings(settings: Settings) -> str:
    """Return a hash of what parsing depends on beside the project."""
    parts = (
        _FORM,
        settings.timezone,
        str(settings.start_date),
        engine.of(settings).target,
        settings.dbt_translator or "",
        _code_of(settings.dbt_translator),
        version("dbt-core"),
        version("dagster-dbt"),
        version("dbt-duckdb"),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _code_of(translator: str | None) -> str:
    """Return the code of the module of a translator, if there is such a file; does not import it."""
    if not translator:
        return ""
    with suppress(ImportError, ValueError, OSError):
        found = find_spec(translator.partition(":")[0])
        return Path(found.origin).read_text() if found and found.origin else ""
    return ""


def _files(project: Path) -> list[Path]:
    found, entered = [], set()
    for folder, folders, names in os.walk(project, followlinks=True):
        entered.add(os.path.realpath(folder))
        folders[:] = [
            name
            for name in folders
            if name not in _IGNORED
            and not is_installed_copy(Path(folder, name))
            and os.path.realpath(Path(folder, name)) not in entered
        ]
        found += [path for name in names if name not in _IGNORED and (path := Path(folder, name)).exists()]
    return sorted(found)


def files_that_name(variable: str, settings: Settings) -> list[str]:
    """Return the files of the project that read a variable with `env_var`."""
    project = project_folder(settings)
    return [
        str(file.relative_to(project))
        for file in _files(project)
        if variable.encode() in _ENVIRONMENT.findall(file.read_bytes())
    ]


def translator(settings: Settings, document: dict[str, Any]) -> MillpondDbtTranslator:
    """Return the translator of the settings; imports dagster-dbt."""
    from millpond.transform.translator import load_translator

    kind = engine.of(settings).kind
    return load_translator(settings.dbt_translator, document, variables_of(settings), kind)


@lru_cache(1)
def _translator(folder: Path, _: str | None) -> MillpondDbtTranslator:
    return translator(settings(), Parsed(folder).document())


@lru_cache(4)
def _read(file: Path) -> Any:
    return orjson.loads(file.read_bytes())


@lru_cache(2)
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


@lru_cache(1)
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
