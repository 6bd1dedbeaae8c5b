"""The folders below MILLPOND_HOME, file locks, and the folder that Dagster uses."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from millpond.errors import ConfigError, EmbeddedPartError
from millpond.settings import Settings

_POLL_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, *, doing: str, timeout: float = 120.0) -> Iterator[int]:
    """Hold the lock of `path` within the block, against other processes and threads.

    Yields the descriptor of the lock: a child that inherits it holds the lock until it ends.
    Raises EmbeddedPartError, naming the holder, if it is not free within `timeout` seconds.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(handle, path, doing, time.monotonic() + timeout)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {doing}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, doing: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
                raise EmbeddedPartError(
                    f"{doing} waits for process {holder or 'unknown'}, which holds {path}",
                    next_step="wait for that process; if it hangs, end it and try again",
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


_PRIVATE = 0o700
_PASSABLE = 0o711
"""As root, Postgres runs as another user, who needs access to its own folder."""


@dataclass(frozen=True)
class Home:
    """The folders of one installation; all exist and are private."""

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
    """Return the folders of the home, after creating missing ones with mode 0700.

    Raises EmbeddedPartError if they cannot be created.
    """
    home = locate(settings)
    try:
        _make(home.root, _passable())
        for folder in (home.postgres, home.run):
            _make(folder, _passable())
        for folder in (home.warehouse, home.staging, home.dagster, home.dbt, home.extensions, home.logs):
            _make(folder, _PRIVATE)
    except OSError as error:
        raise EmbeddedPartError(
            f"the folder {error.filename} cannot be created or used: {error.strerror}",
            next_step="make it writable for this user (did another one create it?), or set MILLPOND_HOME to "
            "another folder, for example MILLPOND_HOME=~/.millpond",
        ) from error
    return home


def locate(settings: Settings) -> Home:
    """Return the folders of the home that `settings` names, without making any."""
    return _locate(
        os.path.realpath(settings.home), None if settings.scale else settings.warehouse, settings.staging
    )


@lru_cache(8)
def _locate(real: str, warehouse: Path | None, staging: Path) -> Home:
    root = Path(real)
    return Home(
        root=root,
        postgres=root / "postgres",
        warehouse=warehouse or root / "warehouse",
        staging=staging,
        dagster=root / "dagster",
        dbt=root / "dbt",
        extensions=root / "extensions",
        run=root / "run",
        logs=root / "logs",
    )


def _passable() -> int:
    return _PASSABLE if os.geteuid() == 0 else _PRIVATE


def make_root(folder: Path) -> None:
    """Create the folder of a home, and those above; as root, Postgres' user may pass through it."""
    _make(folder, _passable())


def _make(folder: Path, mode: int) -> None:
    if os.access(f"{folder}/", os.R_OK | os.W_OK | os.X_OK):
        return
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=mode)
            folder.chmod(mode)  # whatever the umask
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


CODE_LOCATION = "millpond.definitions"
"""Module that holds the definitions; Dagster's own commands find it in DAGSTER_MODULE_NAME."""

_CONFIG = "dagster.yaml"


def dagster_home(settings: Settings) -> Path:
    """Return the folder to use as DAGSTER_HOME, with a current copy of the project's dagster.yaml.

    Raises ConfigError if the project has no dagster.yaml.
    """
    home = layout(settings).dagster
    source = settings.project / _CONFIG
    if not source.exists():
        raise ConfigError(
            f"there is no {_CONFIG} in {settings.project}",
            next_step="run this in the project's folder, or set MILLPOND_PROJECT to it",
        )
    wanted, target = source.read_bytes(), home / _CONFIG
    if not target.exists() or target.read_bytes() != wanted:
        unfinished = home / f".{_CONFIG}.{os.getpid()}.{threading.get_ident()}"
        unfinished.write_bytes(wanted)
        unfinished.replace(target)
    return home
