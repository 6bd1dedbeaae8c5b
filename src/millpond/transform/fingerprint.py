"""What a dbt project is parsed from: when any of it changes, the project is parsed again."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from millpond.errors import ConfigError
from millpond.runtime import dbt_package
from millpond.runtime.dbt_package import NAME, is_installed_copy
from millpond.settings import Settings, process_environment
from millpond.transform import engine
from millpond.transform.invocation import get_project_folder, list_projects

_IGNORED = frozenset({"target", "logs", "parsed", ".user.yml"})
_ENVIRONMENT = re.compile(rb"""\benv_var\(\s*["'](\w+)["']""")
SETTLED_NS = 1_000_000_000
"""How long ago a file must have changed for its time to tell whether it changes again."""
_States = tuple[tuple[str, int, int, int, int], ...]
"""Number, size and times of each file."""
_Hash = tuple[Any, frozenset[bytes]]
_FORM = "13"
"""The format of the files that parsing writes; a new one invalidates earlier files."""


def compute_fingerprint(settings: Settings, project: str = "") -> str:
    """Return the fingerprint of one project, or of all that are in use."""
    if project:
        return _compute_of_project(settings, project)
    return " ".join(_compute_of_project(settings, name) for name in list_projects(settings))


def _compute_of_project(settings: Settings, name: str) -> str:
    """Return a hash of all that parsing depends on: settings, versions, dbt's files, the variables they read.

    Packages are part of the files, also if they are links to other folders.
    """
    project = get_project_folder(settings, name)
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(
            f"there is no dbt project in {project}",
            next_step="run Millpond in a folder that holds sources/ and dbt/, or set MILLPOND_PROJECT to it",
        )
    files, read = _hash_files(project)
    digest = files.copy()
    digest.update(dbt_package.hash_package().encode())
    environment = process_environment()
    for variable in sorted(read):
        digest.update(f"{variable.decode()}={environment.get(variable.decode())!r}\0".encode())
    return f"{hash_settings(settings, name)}-{digest.hexdigest()[:16]}"


_hashed: dict[Path, tuple[_States, _Hash]] = {}
"""The files of each project when they were last read, and what was found."""


def _hash_files(project: Path) -> _Hash:
    """Return a hash of the files, and the variables that they read; files that did not change are not read.

    A file that changed within a second before it was read may change again without a later time, so it is
    read again.
    """
    states, now = _list_files(project), time.time_ns()
    if (known := _hashed.get(project)) and known[0] == states:
        return known[1]
    digest, read = hashlib.sha256(), set()
    for file in (Path(path) for path, *_ in states):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(project)}\0{len(content)}\0".encode() + content)
        read.update(_ENVIRONMENT.findall(content))
    found = digest, frozenset(read)
    if all(max(times) < now - SETTLED_NS for _, _, _, *times in states):
        _hashed[project] = states, found
    return found


def hash_settings(settings: Settings, project: str) -> str:
    """Return a hash of what parsing depends on in addition to the project's files."""
    parts = (
        "" if project == "dbt" else project,
        _FORM,
        settings.timezone,
        str(settings.start_date),
        engine.get_engine(settings).target,
        settings.dbt_translator or "",
        _read_code(settings.dbt_translator),
        *_read_versions(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


@cache
def _read_versions() -> tuple[str, ...]:
    return version("dbt-core"), version("dagster-dbt"), version("dbt-duckdb")


def _read_code(translator: str | None) -> str:
    """Return the code of a translator's module, if there is such a file; does not import it."""
    if not translator:
        return ""
    with suppress(ImportError, ValueError, OSError):
        found = find_spec(translator.partition(":")[0])
        return Path(found.origin).read_text() if found and found.origin else ""
    return ""


def _list_files(project: Path) -> _States:
    """Return the files of a project in the order of their paths, each with what tells whether it changed."""
    found: list[tuple[str, int, int, int, int]] = []
    entered: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(project, followlinks=True):
        entered.add(_identify(folder))
        folders[:] = [
            name
            for name in folders
            if name not in _IGNORED
            and not (name == NAME and is_installed_copy(Path(folder, name)))
            and _identify(f"{folder}/{name}") not in entered
        ]
        for name in names:
            if name not in _IGNORED:
                path = f"{folder}/{name}"
                with suppress(FileNotFoundError):  # a link to nothing
                    at = os.stat(path)
                    found.append((path, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns))
    return tuple(sorted(found, key=lambda state: state[0].split("/")))


def _identify(folder: str) -> tuple[int, int]:
    """Return what is the same for each path of a folder; zeros if it is gone."""
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def find_files_that_read(variable: str, settings: Settings, name: str) -> list[str]:
    """Return the files of the project that read a variable with `env_var`."""
    project = get_project_folder(settings, name)
    return [
        str(file.relative_to(project))
        for file in (Path(path) for path, *_ in _list_files(project))
        if variable.encode() in _ENVIRONMENT.findall(file.read_bytes())
    ]
