"""Parsing the dbt project: the results of dbt, dagster-dbt and sqlglot, written into a folder."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from millpond.errors import ConfigError
from millpond.internals.dbt import extended_mashumaro_encoder
from millpond.runtime.garbage import collect_rarely
from millpond.settings import Settings
from millpond.transform import engine
from millpond.transform.batches import forbid_database
from millpond.transform.checks import read_checks
from millpond.transform.dbt_events import DbtEvents
from millpond.transform.fingerprint import find_files_that_read
from millpond.transform.invocation import OFFLINE, invoke
from millpond.transform.lineage import trace_lineage
from millpond.transform.model_specs import (
    prepare_specs,
    read_check_names,
    read_keys,
    refuse_invalid_assets,
)
from millpond.transform.models import read_models

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

    from millpond.transform.translator import MillpondDbtTranslator

_log = logging.getLogger(__name__)
_TABLES = ("resource_type:model", "resource_type:snapshot")
_NOT_SET = re.compile(r"Env var required but not provided: '(\w+)'")
_KEEP_SECONDS = 86_400.0
"""Earlier manifests stay this long, for processes that still use them."""


@collect_rarely()
def parse(
    folder: Path,
    settings: Settings,
    translate: Callable[[Settings, dict[str, Any]], MillpondDbtTranslator],
    former: Mapping[str, Any],
    project: str,
) -> None:
    """Write the files of a parsed project into `folder`; `former` is the lineage of the last one.

    Opens no connection. Raises ConfigError with dbt's message.
    """
    events = DbtEvents()
    parsed = invoke(
        ["parse", "--no-write-json"],  # what dbt would write is written below
        settings=settings,
        target=engine.get_engine(settings).target,
        project=project,
        on_event=events,
    )
    manifest = _get_manifest(parsed, settings, events, project)
    for warning in events.warnings:
        _log.warning("dbt warns: %s", warning)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    document = manifest.writable_manifest().to_dict(omit_none=False)
    (unfinished / "manifest.msgpack").write_bytes(manifest.to_msgpack(extended_mashumaro_encoder))
    compiled = _compile(manifest, settings, project)
    translator = translate(settings, document)
    keys = read_keys(document, translator)
    models = refuse_invalid_assets(document, translator, read_models(document, keys))
    lineage = trace_lineage(document, models, keys, compiled, former)
    specs = prepare_specs(document, translator, models, lineage)
    found = {
        "manifest": document,
        "lineage": lineage,
        "models": models,
        "specs": specs,
        "checks": read_checks(document, keys, read_check_names(specs)),
        "warnings": events.warnings,
    }
    for name, content in found.items():
        text = orjson.dumps(content, default=sorted, option=orjson.OPT_NON_STR_KEYS)  # sets are sorted
        (unfinished / f"{name}.json").write_bytes(text)
    unfinished.rename(folder)
    _remove_old(folder)


def _compile(manifest: Manifest, settings: Settings, project: str) -> dict[str, str]:
    """Return the SQL of models and snapshots, without those that need a database to compile.

    Raises ConfigError for models that read each other in a circle, which dbt detects only here.
    """
    with forbid_database():
        ran = invoke(
            ["compile", "--select", *_TABLES, "--indirect-selection=empty", *OFFLINE],
            settings=settings,
            target=engine.get_engine(settings).target,
            project=project,
            manifest=manifest,
        )
    if "Found a cycle" in str(ran.exception):
        raise _parse_error(ran.exception, settings, project)
    results: Any = ran.result or ()
    return {r.node.unique_id: r.node.compiled_code or "" for r in results if str(r.status) == "success"}


def _get_manifest(ran: dbtRunnerResult, settings: Settings, events: DbtEvents, project: str) -> Manifest:
    if not ran.success or ran.result is None:
        raise _parse_error("\n  ".join([str(ran.exception), *events.invalid]), settings, project)
    manifest: Any = ran.result
    return manifest  # type: ignore[no-any-return]


def _parse_error(why: object, settings: Settings, project: str) -> ConfigError:
    if missing := _NOT_SET.search(str(why)):
        why = f"{why} in {', '.join(find_files_that_read(missing[1], settings, project))}"
    return ConfigError(
        f"the dbt project does not parse: {why}",
        unharmed="what was built before",
        next_step=f"fix the file that the message names, below {settings.project / project}",
    )


def _remove_old(newest: Path) -> None:
    """Remove parsed states that no process has read for a day."""
    limit = time.time() - _KEEP_SECONDS
    for folder in newest.parent.iterdir():
        if folder != newest and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
