"""The only place that calls dbt: in process, one call at a time, files below the home, no telemetry."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
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


_invocations: Final[list[str]] = []
_ended: Final[set[str]] = set()
"""dbt's ids of calls that were interrupted, whose threads may go on."""


def is_invoking() -> bool:
    """Return whether a call of `invoke` is in progress; if not, dbt was called by hand."""
    return bool(_invocations)


def is_interrupted(invocation: str) -> bool:
    """Return whether a call of `invoke`, by dbt's id of it, was interrupted: threads of it may still work."""
    return invocation in _ended


def list_projects(settings: Settings) -> tuple[str, ...]:
    """Return the folders of the dbt projects in use, at least one, as paths below the project."""
    return read_project(settings.code).dbt or ("dbt",)


def get_project_folder(settings: Settings, project: str = "") -> Path:
    """Return the folder of a dbt project in use; without a name, of the first."""
    return settings.code / (project or list_projects(settings)[0])


def _get_target_folder(settings: Settings, project: str) -> str:
    """Return the name of dbt's target folder; a deployed copy of the project has its own."""
    name = "target" if settings.code == settings.project else "target-deployed"
    return name if project in ("", "dbt") else f"{name}-{project.replace('/', '-')}"


def _find_profiles(project: Path) -> Path:
    """Return the folder whose `profiles.yml` has our profile: the project's, or the package's."""
    try:
        own = (project / "profiles.yml").read_text()
    except OSError:
        own = ""
    return project if re.search(rf"^{NAME}\s*:", own, re.MULTILINE) else PACKAGE


def get_variables(settings: Settings) -> dict[str, object]:
    """Return the variables that each call passes to the project."""
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
    """Run a dbt command and return its result, which includes dbt's errors.

    `project` is one of `list_projects`, by default the first. With `manifest` nothing is parsed. `variables`
    are added to those of the settings. `on_event` receives dbt's events above the debug level, on dbt's
    threads.
    """
    from dbt.cli.main import dbtRunner

    from millpond.internals.dbt import get_invocation_id
    from millpond.transform.batches import ignore_environment
    from millpond.transform.dbt_patches import parse_macros_once, patch_dbt, skip_validation

    folder, at = layout(settings).dbt, get_project_folder(settings, project)
    every = {**get_variables(settings), **(variables or {})}
    args = [
        *command,
        *_QUIET,
        f"--project-dir={at}",
        f"--profiles-dir={_find_profiles(at)}",
        f"--profile={NAME}",
        f"--target={target}",
        f"--target-path={target_path or folder / _get_target_folder(settings, project)}",
        f"--log-path={folder / 'logs'}",
        f"--vars={orjson.dumps(every).decode()}",
    ]
    with LOCK:
        patch_dbt()
        engine.get_engine_of_target(target).prepare()
        _invocations.append(command[0])
        try:
            with ignore_environment(), skip_validation() if manifest else parse_macros_once():
                result = dbtRunner(manifest=manifest, callbacks=[on_event] if on_event else None).invoke(args)
            if result.exception and not isinstance(result.exception, Exception):  # this process is to end
                raise result.exception
        except BaseException as error:
            if not isinstance(error, Exception):
                _ended.add(get_invocation_id())
            raise
        finally:
            _invocations.pop()
    return result
