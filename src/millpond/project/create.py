"""Writes a new project: all of its files, or none."""

from __future__ import annotations

import keyword
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from millpond.errors import ConfigError
from millpond.project.template import Template, rendered

BASE: Final = ".template"
"""Folder in the project with the template's version of its files, which `millpond upgrade` compares with."""
VERSION_FILE: Final = "version"
_FOLDERS: Final = frozenset({"bi", "dbt", "docker", "sources", "tests"})
_NOTHING: Final = "everything; nothing was written"


def create(folder: Path, template: Template) -> Path:
    """Create a new project in `folder`, with the name of the folder; returns its absolute path.

    Raises ConfigError, and writes nothing, for a name that Python cannot import, or a folder that is not
    empty or not writable.
    """
    folder = folder.expanduser().absolute()
    name = _checked(folder.resolve().name if folder.exists() else folder.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise ConfigError(
            f"{folder} {what}",
            unharmed=_NOTHING,
            next_step="give the project another name, or another folder",
        )
    files = rendered(name, template)
    base = {f"{BASE}/{path}": content for path, content in files.items()}
    base[f"{BASE}/{VERSION_FILE}"] = f"{metadata.version('millpond')} {template}\n".encode()
    unfinished = folder.with_name(f".{name}.{uuid.uuid4().hex[:8]}")
    made = _missing(folder.parent)
    try:
        _write(unfinished, files | base)
        _put(unfinished, folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror or error}",
            unharmed=_NOTHING,
            next_step="choose a folder that you may write to",
        ) from None
    return folder


def _checked(name: str) -> str:
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        fitting = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()).strip("_")
        if not fitting.isidentifier() or keyword.iskeyword(fitting):
            fitting = f"my_{fitting or 'project'}"
        raise ConfigError(
            f"a project cannot be called {name!r}: its Python package has the same name",
            unharmed=_NOTHING,
            next_step=f"use letters, digits and _, for example `millpond init {fitting}`",
        )
    if name in _FOLDERS or find_spec(name):
        raise ConfigError(
            f"a project cannot be called {name}: a Python package of that name is there already",
            unharmed=_NOTHING,
            next_step=f"choose another name, for example `millpond init my_{name}`",
        )
    return name


def _missing(folder: Path) -> list[Path]:
    """Return the folders that writing will create, deepest first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        if content.startswith(b"#!"):
            place.chmod(0o755)


def _put(unfinished: Path, folder: Path) -> None:
    """Move `unfinished` to `folder`; an existing empty folder is kept."""
    if not folder.exists():
        unfinished.rename(folder)
        return
    for entry in sorted(unfinished.iterdir()):
        os.replace(entry, folder / entry.name)
    unfinished.rmdir()
