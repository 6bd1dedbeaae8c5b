"""Reads `[tool.millpond]` in a project's pyproject.toml; without it, the default folders apply."""

from __future__ import annotations

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from millpond.errors import ConfigError

PLATFORM: Final = "millpond.definitions"
"""The module that Dagster loads, which imports the project's own."""
_FILE: Final = "pyproject.toml"
_MODULE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Project:
    """A project as its pyproject.toml declares it.

    `definitions` is the module of the user's own definitions, `commands` are modules with a Typer `app` each,
    `dbt` and `sources` are folders, as paths below `root`.
    """

    root: Path
    definitions: str | None = None
    commands: tuple[str, ...] = ()
    dbt: tuple[str, ...] = ("dbt",)
    sources: tuple[str, ...] = ("sources",)

    @property
    def code(self) -> str | None:
        """The folder or file, below `root`, of the module of the definitions; None if it does not exist."""
        return self._find_code(self.definitions) if self.definitions else None

    @property
    def packages(self) -> tuple[str, ...]:
        """The folders or files, below `root`, of the modules of definitions and commands that exist."""
        modules = (*filter(None, (self.definitions,)), *self.commands)
        return tuple(dict.fromkeys(filter(None, map(self._find_code, modules))))

    def _find_code(self, module: str) -> str | None:
        top = module.partition(".")[0]
        for name in (top, f"src/{top}"):
            if (self.root / name).is_dir():
                return name
            if (self.root / f"{name}.py").is_file():
                return f"{name}.py"
        return None


def find_project(folder: Path) -> Path | None:
    """Return `folder` or the nearest above it whose pyproject.toml has a `[tool.millpond]`."""
    for each in (folder, *folder.parents):
        if _declared(each) is not None:
            return each
    return None


def read_project(root: Path) -> Project:
    """Return the project in `root`; without `[tool.millpond]`, the default folders.

    Raises ConfigError for an unknown key or an invalid value.
    """
    return _project(root, _stamp(root / _FILE))


@lru_cache(8)
def _project(root: Path, _: object) -> Project:
    declared = _declared(root)
    known = [field.name for field in fields(Project) if field.name != "root"]
    found: dict[str, Any] = {}
    for key, value in (declared or {}).items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise _refused(root, f"unknown key `{key}`", f"did you mean `{near[0]}`?" if near else _KEYS)
        if key == "definitions":
            found[key] = _module(root, key, value)
        elif key == "commands":
            found[key] = tuple(_module(root, key, each) for each in _listed(root, key, value))
        else:
            found[key] = _folders(root, key, value)
    return Project(root, **found)


def make_importable(project: Project) -> None:
    """Have Python find the project's packages in the folder of the project, before any installed one."""
    for code in reversed(project.packages):
        folder = str((project.root / code).parent)
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)


_KEYS: Final = "the keys are definitions, commands, dbt and sources"


def _stamp(file: Path) -> object:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _declared(root: Path) -> Mapping[str, Any] | None:
    file = root / _FILE
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if "tool.millpond" not in file.read_text(encoding="utf-8", errors="replace"):
            return None  # an unrelated file above the current folder
        raise ConfigError(f"{file} cannot be read: {error}", next_step="correct the file") from None
    tool = content.get("tool")
    declared = tool.get("millpond") if isinstance(tool, dict) else None
    if declared is not None and not isinstance(declared, dict):
        raise _refused(root, "it is no table", _KEYS)
    return declared


def _module(root: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not _MODULE.fullmatch(value):
        raise _refused(
            root,
            f"{key} = {value!r} is no name of a module",
            f'name it as Python imports it, for example {key} = "my_project.{key}"',
        )
    if value == PLATFORM:
        raise _refused(root, f"{key} = {value!r} is the platform's own module", "leave the key out")
    return value


def _listed(root: Path, key: str, value: object) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(each, str) and each for each in listed):
        kind = "modules" if key == "commands" else "folders"
        raise _refused(root, f"{key} = {value!r} is no list of {kind}", f'for example {key} = ["{key}"]')
    return listed


def _folders(root: Path, key: str, value: object) -> tuple[str, ...]:
    names = [os.path.normpath(each) for each in _listed(root, key, value)]
    for name in names:
        if os.path.isabs(name) or name.startswith("..") or name == ".":
            raise _refused(root, f"{key}: {name} lies outside the project", "name folders below the project")
        if names.count(name) > 1:
            raise _refused(root, f"{key}: {name} is named twice", "name it once")
        if not (root / name).is_dir():
            raise _refused(root, f"{key}: there is no folder {name}", "make it, or correct its name")
    return tuple(names)


def _refused(root: Path, what: str, next_step: str) -> ConfigError:
    return ConfigError(f"[tool.millpond] in {root / _FILE}: {what}", next_step=next_step)
