"""The one door to dbt: in process, one call at a time, its files below the home, nothing sent anywhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from millpond.project.config import read_project
from millpond.runtime.dbt_package import NAME, PACKAGE
from millpond.runtime.home import layout
from millpond.settings import Settings
from millpond.transform import engine

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

LOCK: Final = threading.RLock()
"""dbt keeps flags, adapters and connections in global variables, so a process runs it once at a time."""

_QUIET: Final = (
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
    "--no-use-colors",
    "--no-print",
    "--log-level=none",
    "--log-level-file=none",
)


OFFLINE: Final = ("--no-introspect", "--no-populate-cache", "--no-write-json")
"""For commands that compile: no connection is opened and no artifact written."""


_under_way: Final[list[str]] = []


def invoking() -> bool:
    """Return whether a call of `invoke` is under way; else somebody else called dbt."""
    return bool(_under_way)


def project_names(settings: Settings) -> tuple[str, ...]:
    """Return the folders of the dbt projects in use, as paths below the project; there is one at least."""
    return read_project(settings.code).dbt or ("dbt",)


def project_folder(settings: Settings, project: str = "") -> Path:
    """Return the folder of a dbt project in use, of the first without a name."""
    return settings.code / (project or project_names(settings)[0])


def _target(settings: Settings, project: str) -> str:
    """Return the name of dbt's target folder: a copy of the project has another root than the project."""
    name = "target" if settings.code == settings.project else "target-deployed"
    return name if project in ("", "dbt") else f"{name}-{project.replace('/', '-')}"


def _profiles(project: Path) -> Path:
    """Return the folder whose `profiles.yml` holds our profile: the project's, or the package's."""
    try:
        own = (project / "profiles.yml").read_text()
    except OSError:
        own = ""
    return project if re.search(rf"^{NAME}\s*:", own, re.MULTILINE) else PACKAGE


def variables_of(settings: Settings) -> dict[str, object]:
    """Return the variables that the project is given in each call."""
    return {"timezone": settings.timezone, "start_date": str(settings.start_date)}


def invoke(
    command: Sequence[str],
    *,
    settings: Settings,
    target: str,
    project: str = "",
    manifest: Manifest | None = None,
    variables: Mapping[str, object] | None = None,
    target_path: Path | None = None,
    on_event: Callable[[Any], None] | None = None,
) -> dbtRunnerResult:
    """Run a dbt command and return its result; what goes wrong inside dbt is in the result, not raised.

    `project` is one of `project_names`, else the first. With `manifest` nothing is parsed. `variables` are
    added to those that come from the settings. `on_event` hears of what dbt logs above the level of
    debugging, on its threads.
    """
    from dbt.cli.main import dbtRunner

    from millpond.transform.batches import without_environment
    from millpond.transform.dbt_patches import spare, valid

    folder, at = layout(settings).dbt, project_folder(settings, project)
    every = {**variables_of(settings), **(variables or {})}
    args = [
        *command,
        *_QUIET,
        f"--project-dir={at}",
        f"--profiles-dir={_profiles(at)}",
        f"--profile={NAME}",
        f"--target={target}",
        f"--target-path={target_path or folder / _target(settings, project)}",
        f"--log-path={folder / 'logs'}",
        f"--vars={orjson.dumps(every).decode()}",
    ]
    with LOCK:
        spare()
        engine.of_target(target).prepare()
        _under_way.append(command[0])
        try:
            with without_environment(), valid() if manifest else nullcontext():
                result = dbtRunner(manifest=manifest, callbacks=[on_event] if on_event else None).invoke(args)
        finally:
            _under_way.pop()
    if result.exception and not isinstance(result.exception, Exception):  # somebody wants this process to end
        raise result.exception
    return result
