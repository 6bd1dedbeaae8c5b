"""The user that Postgres runs as: it refuses root, so as root it runs as an unprivileged system user."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from millpond.errors import EmbeddedPartError

_NAME = "millpond"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceUser:
    """A system user that a server is started as."""

    name: str
    uid: int
    gid: int


def find_service_user(data: Path) -> ServiceUser | None:
    """Return the user that the server of folder `data` runs as; None for the current user.

    As root, that is the owner of `data`, else the system user `millpond`, which is created if it is missing,
    else `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid):
        return _to_service_user(pwd.getpwuid(owner))
    try:
        return _to_service_user(pwd.getpwnam(_NAME))
    except KeyError:
        return _create_user() or _to_service_user(pwd.getpwnam("nobody"))


def grant_passage(user: ServiceUser, *targets: Path) -> list[Path]:
    """Give `user` access to each target; return the folders that were changed.

    A parent folder that is closed to `user` gets the permission to pass through it (o+x), not to list it.
    """
    changed = []
    for folder in dict.fromkeys(parent for target in targets for parent in target.resolve().parents):
        status = folder.stat()
        if not _may_pass(user, status):
            _open(folder, status, user)
            changed.append(folder)
    if changed:
        _log.warning(
            "as root, Postgres runs as user %s; these folders can now be passed (o+x), not listed: %s",
            user.name,
            ", ".join(map(str, changed)),
        )
    return changed


def _open(folder: Path, status: os.stat_result, user: ServiceUser) -> None:
    try:
        folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
    except OSError as error:
        raise EmbeddedPartError(
            f"Postgres runs as user {user.name}, which cannot access {folder}: {error.strerror}",
            next_step=f"chmod o+x {folder}, set MILLPOND_HOME to an open folder, or do not run as root",
        ) from error


def _may_pass(user: ServiceUser, status: os.stat_result) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _create_user() -> ServiceUser | None:
    if not (useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")):
        return None
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        user = _to_service_user(pwd.getpwnam(_NAME))
    except KeyError:
        _log.info("useradd failed: %s", done.stderr.decode(errors="replace").strip())
        return None
    if done.returncode == 0:
        _log.warning("as root, Postgres needs its own user: created the system user %s", _NAME)
    return user


def _to_service_user(entry: pwd.struct_passwd) -> ServiceUser:
    return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
