"""Where the state of one installation lies: the folders below MILLPOND_HOME."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from millpond.errors import EmbeddedPartError
from millpond.settings import Settings

_PRIVATE = 0o700
_PASSABLE = 0o711
"""As root, Postgres runs as another user, who must be able to walk through to its own folder."""


@dataclass(frozen=True)
class Home:
    """The folders of one installation; all exist, none is open to other users."""

    root: Path
    postgres: Path
    warehouse: Path
    """Empty under the profile scale, whose warehouse is in S3."""
    staging: Path
    dagster: Path
    dbt: Path
    extensions: Path
    run: Path
    """Sockets, locks and the records of background processes."""
    logs: Path


def layout(settings: Settings) -> Home:
    """Return the folders of the home that `settings` names; makes those that are missing, 0700.

    Raises EmbeddedPartError if they cannot be made.
    """
    home = located(settings)
    try:
        _make(home.root, _passable())
        for folder in (home.postgres, home.run):
            _make(folder, _passable())
        for folder in (home.warehouse, home.staging, home.dagster, home.dbt, home.extensions, home.logs):
            _make(folder, _PRIVATE)
    except OSError as error:
        raise EmbeddedPartError(
            f"the folder {error.filename} cannot be made or used: {error.strerror}",
            next_step="make it writable for this user (did another one make it?), or set MILLPOND_HOME to "
            "another folder, for example MILLPOND_HOME=~/.millpond",
        ) from error
    return home


def located(settings: Settings) -> Home:
    """Return the folders of the home that `settings` names, without making any."""
    root = Path(os.path.realpath(settings.home))
    return Home(
        root=root,
        postgres=root / "postgres",
        warehouse=root / "warehouse" if settings.scale else settings.warehouse,
        staging=settings.staging,
        dagster=root / "dagster",
        dbt=root / "dbt",
        extensions=root / "extensions",
        run=root / "run",
        logs=root / "logs",
    )


def _passable() -> int:
    return _PASSABLE if os.geteuid() == 0 else _PRIVATE


def _make(folder: Path, mode: int) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=mode, exist_ok=True)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
