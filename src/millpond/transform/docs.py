"""dbt's docs of the project and of what the tables of a ref hold."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import millpond.resources  # noqa: F401 - leaves out what Dagster warns of when specs are prepared
from millpond.errors import BuildFailed
from millpond.internals.dbt import compile_results
from millpond.naming import MAIN_REF
from millpond.runtime.home import layout
from millpond.settings import Settings
from millpond.transform import engine
from millpond.transform.building import Building, building
from millpond.transform.invocation import LOCK, invoke
from millpond.transform.manifest import Parsed, current

_FILES = ("index.html", "manifest.json", "catalog.json")


def generate_docs(settings: Settings, ref: str) -> Path:
    """Have dbt write its docs with the tables of `ref`, which are only read; returns the folder with them.

    Those of each further dbt project are in a folder of its name in there.

    Raises BuildFailed, ConfigError if the project does not parse.
    """
    first, *others = current(settings).parts
    folder = layout(settings).dbt / "docs" / ref
    _generate(settings, first, ref, folder)
    for part in others:
        _generate(settings, part, ref, folder / part.project)
    return folder


def _generate(settings: Settings, parsed: Parsed, ref: str, folder: Path) -> None:
    target, work = engine.of(settings).target, layout(settings).dbt / f"docs.{os.getpid()}"
    if ref != MAIN_REF:
        engine.of(settings).enter(ref)
    try:
        with LOCK, building(Building(ref, "docs", lambda _: None)):
            ran = invoke(
                ["docs", "generate"],
                settings=settings,
                target=target,
                project=parsed.project,
                manifest=parsed.warm(),
                target_path=work,
            )
        if not ran.success:
            raise BuildFailed(
                f"dbt could not make its docs of {ref}: {ran.exception or _failures(ran.result)}",
                unharmed="every table; docs only read",
                next_step="correct the model that is named, and run `millpond docs` again",
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (work / name).replace(folder / name)
    finally:
        if ref != MAIN_REF:
            engine.of(settings).leave(ref)
        shutil.rmtree(work, ignore_errors=True)


def _failures(result: object) -> str:
    found = getattr(result, "errors", None) or []
    failed = [f"{r.node.name}: {r.message}" for r in compile_results(result) if r.status == "error"]
    return "; ".join([*map(str, found), *failed]) or "see dbt's log"
