"""The dbt package `millpond`: it comes with the wheel, and a link in a project's packages leads to it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Final

import millpond
from millpond.errors import ConfigError
from millpond.runtime.home import layout
from millpond.settings import settings

NAME: Final = "millpond"
PACKAGE: Final = Path(millpond.__file__).parent / "dbt_package"
"""Macros, generic tests and the profile that projects without one of their own get."""


@cache
def hash_package() -> str:
    """Return a hash of the package's files, which differ between releases."""
    found = hashlib.sha256()
    for file in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.name != ".user.yml"):
        content = file.read_bytes()
        found.update(f"{file.relative_to(PACKAGE)}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:16]


def is_installed_copy(path: Path) -> bool:
    """Return whether `path` is the package in a project: a link, or a copy of the linked folder."""
    if path.name != NAME:
        return False
    if path.is_symlink():
        return True
    with (PACKAGE / "dbt_project.yml").open() as ours:
        mark = ours.readline()
    file = path / "dbt_project.yml"
    return file.is_file() and file.read_text(errors="replace").startswith(mark)


def install(packages: Path) -> Path:
    """Install the package into a project's `packages`; returns the packages folder that dbt must use.

    That is `packages` or, if it is not writable, a folder of links below the home. Raises ConfigError if
    there is another package of this name.
    """
    link = packages / NAME
    if link.is_symlink() and os.readlink(link) == str(PACKAGE):
        return packages
    if link.is_dir() and not is_installed_copy(link):
        raise ConfigError(
            f"the dbt package in {link} has the name of Millpond's own, {NAME}",
            unharmed="everything",
            next_step=f"give it another name in its dbt_project.yml and move it out of {link}",
        )
    try:
        _link(PACKAGE, link)
    except OSError:
        return _link_in_home(packages)
    return packages


def _link(target: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished = link.with_name(f"__{link.name}.{os.getpid()}")  # dbt ignores this name
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(target)
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    unfinished.replace(link)


def _link_in_home(packages: Path) -> Path:
    """Return a folder below the home with links to everything in `packages`, and to the package."""
    name = hashlib.sha256(str(packages.resolve()).encode()).hexdigest()[:12]
    folder = layout(settings()).dbt / "packages" / name
    there = [path for path in packages.iterdir() if path.is_dir()] if packages.is_dir() else []
    wanted = {path.name: path.resolve() for path in there} | {NAME: PACKAGE}
    folder.mkdir(parents=True, exist_ok=True)
    for link in folder.iterdir():
        if link.name not in wanted and not link.name.startswith("__"):
            link.unlink(missing_ok=True)
    for each, target in wanted.items():
        link = folder / each
        if not link.is_symlink() or os.readlink(link) != str(target):
            _link(target, link)
    return folder


if __name__ == "__main__":  # for tools that read a project without dbt's plugins, such as sqlfluff
    print(install(Path(sys.argv[1]) / "dbt_packages") / NAME if sys.argv[1:] else PACKAGE)  # noqa: T201
