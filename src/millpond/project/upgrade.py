"""Upgrades the files of a project to the template of the installed release, by a three-way merge.

The base of each file is the template's version when the project was created or last upgraded, in
`.template/`.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, get_args

from packaging.version import InvalidVersion, Version

from millpond.errors import ConfigError, UpgradeRefused
from millpond.project.create import BASE, VERSION_FILE
from millpond.project.template import Template, rendered

SUFFIX: Final = ".new"
_UNCHANGED: Final = "the project; nothing was changed"


@dataclass(frozen=True)
class FileChange:
    """What an upgrade does with one file: `content` is written to `target`, None removes it.

    Without a `target`, the project's file is not changed, and `words` say why.
    """

    path: str
    words: str
    target: str | None = None
    content: bytes | None = None
    diff: str = ""

    @property
    def is_conflict(self) -> bool:
        """Whether two versions must be merged by hand."""
        return self.target is not None and self.target != self.path


@dataclass(frozen=True)
class ProjectUpgrade:
    """The upgrade of the project in `root`; `renewed` is the new content of `.template/`."""

    root: Path
    changes: tuple[FileChange, ...]
    renewed: Mapping[str, bytes]

    def apply(self) -> None:
        """Write the project's files, then `.template/`; idempotent.

        Raises ConfigError if a file cannot be written; files written before that stay.
        """
        try:
            for change in self.changes:
                if change.target:
                    _put(self.root / change.target, change.content)
            base = self.root / BASE
            for path in _below(base):
                if path not in self.renewed:
                    _put(base / path, None)
            for path, content in self.renewed.items():
                if path != VERSION_FILE and _read(base / path) != content:
                    _put(base / path, content)
            _put(base / VERSION_FILE, self.renewed[VERSION_FILE])
        except OSError as error:
            raise ConfigError(
                f"{error.filename or self.root} cannot be written: {error.strerror or error}",
                unharmed="every file: each is as it was or as the release has it",
                next_step="make it writable, then `millpond upgrade` goes on",
            ) from error


def project_upgrade(root: Path) -> ProjectUpgrade | None:
    """Return what the installed release changes in the project; None if `millpond init` did not create it.

    Changes nothing. Raises UpgradeRefused for a project of a newer release, ConfigError if `.template/` is
    broken.
    """
    base = root / BASE
    if not (base / VERSION_FILE).is_file():
        return None
    template = _template(base / VERSION_FILE)
    theirs = rendered(_name(base), template)
    found = (_compare(root, path, _read(base / path), theirs.get(path)) for path in _paths(base, theirs))
    changes = tuple(change for change in found if change)
    version = f"{metadata.version('millpond')} {template}\n".encode()
    return ProjectUpgrade(root, changes, {**theirs, VERSION_FILE: version})


def _paths(base: Path, theirs: Mapping[str, bytes]) -> list[str]:
    return sorted({*theirs, *_below(base)} - {VERSION_FILE})


def _compare(root: Path, path: str, base: bytes | None, theirs: bytes | None) -> FileChange | None:
    """Return what to do with one file; None if nothing."""
    ours = _read(root / path)
    if base == theirs or _same(ours, theirs):
        return None
    if theirs is None:
        if not _same(ours, base):
            return FileChange(path, "no longer in the template; yours is edited and stays")
        return FileChange(path, "removed", path, None, _diff(path, ours, None))
    if ours is None:
        if base is not None:
            return FileChange(path, "changed in the template; you deleted it, so it stays deleted")
        return FileChange(path, "added", path, theirs, _diff(path, None, theirs))
    if base is not None and _same(ours, base):
        return FileChange(path, "replaced", path, _ending_as(ours, theirs), _diff(path, ours, theirs))
    merged = None if base is None else _merge(ours, base, theirs)
    if merged is None:
        words = f"conflict: yours stays, the template's is {path}{SUFFIX}"
        return FileChange(path, words, path + SUFFIX, theirs, _diff(path, ours, theirs))
    if _same(ours, merged):
        return None
    return FileChange(
        path, "merged with your edits", path, _ending_as(ours, merged), _diff(path, ours, merged)
    )


def _merge(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Return the file with both changes; None if they conflict, or without git."""
    git = shutil.which("git")
    if not git:
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("ours", "base", "theirs")]
        for file, content in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(_plain(content))
        done = subprocess.run(
            [git, "merge-file", "--stdout", "--quiet", *map(str, files)], capture_output=True, check=False
        )
    return done.stdout if done.returncode == 0 else None


def _template(file: Path) -> Template:
    version, _, template = file.read_text(encoding="utf-8", errors="replace").strip().partition(" ")
    try:
        newer = Version(version) > Version(metadata.version("millpond"))
    except InvalidVersion:
        newer = False
        template = ""
    if newer:
        raise UpgradeRefused(
            f"the files of this project are those of Millpond {version}; installed is"
            f" {metadata.version('millpond')}",
            unharmed=_UNCHANGED,
            next_step=f"`pip install 'millpond>={version}'`",
        )
    for known in get_args(Template):
        if template == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(
        f"{file} does not say which template the project was made from, as `0.1.0 glucose` does",
        unharmed=_UNCHANGED,
        next_step=f"restore it, for example with `git checkout {BASE}`",
    )


def _name(base: Path) -> str:
    """Return the project's name when it was created; its folder may have been renamed."""
    try:
        return str(tomllib.loads((base / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{base / 'pyproject.toml'} does not say the project's name",
            unharmed=_UNCHANGED,
            next_step=f"restore it, for example with `git checkout {BASE}`",
        ) from None


def _below(folder: Path) -> Iterator[str]:
    return (file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file())


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _put(file: Path, content: bytes | None) -> None:
    """Write a file whole, or remove it with the folders that it leaves empty."""
    place = file.resolve()
    if content is None:
        place.unlink(missing_ok=True)
        for folder in file.parents:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.unfinished")
    unfinished.write_bytes(content)
    if place.exists():
        shutil.copymode(place, unfinished)
    elif content.startswith(b"#!"):
        unfinished.chmod(0o755)
    os.replace(unfinished, place)


def _plain(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _same(one: bytes | None, other: bytes | None) -> bool:
    """Return whether both are there and differ in line ends at most, or neither is there."""
    return one is other is None or (one is not None and other is not None and _plain(one) == _plain(other))


def _ending_as(ours: bytes, content: bytes) -> bytes:
    """Return the content with the line ends that the project's file has."""
    return _plain(content).replace(b"\n", b"\r\n") if b"\r\n" in ours else content


def _diff(path: str, before: bytes | None, after: bytes | None) -> str:
    old, new = (_plain(each or b"").decode(errors="replace").splitlines() for each in (before, after))
    names = (path if before is not None else "/dev/null", path if after is not None else "/dev/null")
    return "\n".join(difflib.unified_diff(old, new, *names, lineterm=""))
