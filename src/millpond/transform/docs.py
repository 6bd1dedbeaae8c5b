"""dbt's docs of the project and of the tables of a ref."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import millpond.resources  # noqa: F401 - silences Dagster's warnings about specs
from millpond.errors import BuildFailed
from millpond.internals.dbt import list_compile_results
from millpond.naming import MAIN_REF
from millpond.runtime.home import layout
from millpond.settings import Settings
from millpond.transform import engine
from millpond.transform.build import Build, use_build
from millpond.transform.invocation import LOCK, invoke
from millpond.transform.manifest import ParsedProject, load_project

_FILES = ("index.html", "manifest.json", "catalog.json")


def generate_docs(settings: Settings, ref: str) -> Path:
    """Generate dbt's docs with the tables of `ref`, which are only read; returns their folder.

    The docs of further dbt projects are in subfolders with their names.

    Raises BuildFailed, ConfigError if the project does not parse.
    """
    first, *others = load_project(settings).parts
    folder = layout(settings).dbt / "docs" / ref
    _generate(settings, first, ref, folder)
    for part in others:
        _generate(settings, part, ref, folder / part.project)
    return folder


def _generate(settings: Settings, parsed: ParsedProject, ref: str, folder: Path) -> None:
    target, work = engine.get_engine(settings).target, layout(settings).dbt / f"docs.{os.getpid()}"
    if ref != MAIN_REF:
        engine.get_engine(settings).open_branch(ref)
    try:
        with LOCK, use_build(Build(ref, "docs", lambda _: None)):
            ran = invoke(
                ["docs", "generate"],
                settings=settings,
                target=target,
                project=parsed.project,
                manifest=parsed.load_manifest(),
                target_path=work,
            )
        if not ran.success:
            raise BuildFailed(
                f"dbt could not generate the docs of {ref}:"
                f" {ran.exception or _describe_failures(ran.result)}",
                unharmed="every table; docs only read",
                next_step="fix the model that the message names, and run `millpond docs` again",
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (work / name).replace(folder / name)
    finally:
        if ref != MAIN_REF:
            engine.get_engine(settings).close_branch(ref)
        shutil.rmtree(work, ignore_errors=True)


def _describe_failures(result: object) -> str:
    found = getattr(result, "errors", None) or []
    failed = [f"{r.node.name}: {r.message}" for r in list_compile_results(result) if r.status == "error"]
    return "; ".join([*map(str, found), *failed]) or "see dbt's log"
