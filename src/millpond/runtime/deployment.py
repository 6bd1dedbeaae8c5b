"""Deployments: copies of the project's sources, models and Python that automation runs.

`millpond up` makes one when it starts, `millpond reload` and Dagster's "Reload" make the next. Edits in the
project have no effect on automation until then.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import millpond
from millpond.errors import DeployRefused
from millpond.project.config import read_project
from millpond.runtime.dbt_package import PACKAGE, is_installed_copy
from millpond.runtime.home import Home, exclusive, layout, locate
from millpond.settings import DEPLOYED, Settings, process_environment, variable

_FILES = ("pyproject.toml", "waits.yaml")
_IGNORED = frozenset({"target", "logs", "parsed", "__pycache__", ".user.yml"})
_CHECK = "millpond.cli.check_definitions"
_CHECK_SECONDS = 300.0
_LINK = b"\0link to "
"""Content of a file that is a link to another folder; the copy is a link too."""
_KEEP_SECONDS = 86_400.0
"""How long a replaced copy is kept; the longest run takes two hours (dagster.yaml)."""


@dataclass(frozen=True)
class Deployment:
    """One copy and when it was made; `files` and `python` are hashes of its files and of our package."""

    state: str
    at: str
    files: Mapping[str, str]
    python: Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """What differs from the deployment, as paths below the project; `refused` says why a reload failed."""

    at: str
    files: list[str]
    python: list[str]
    refused: str = ""

    @property
    def words(self) -> str:
        """A line about the changes; empty if there are none."""
        names = [*self.files, *self.python]
        if not names:
            return ""
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"changed since it was loaded: {', '.join(names[:3])}{more}"


def folder_of(settings: Settings, deployment: Deployment) -> Path:
    """Return the folder of a deployment."""
    return _deployments_folder(locate(settings)) / deployment.state


def current(settings: Settings) -> Deployment | None:
    """Return the latest deployment; None if there is none."""
    try:
        return Deployment(**json.loads(_pointer_file(locate(settings)).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def deploy(settings: Settings, *, checked: bool) -> Deployment:
    """Deploy the project as it is now and return the deployment.

    With `checked`, it must load first: raises DeployRefused with the reason, and the former deployment stays.
    """
    home = layout(settings)
    with exclusive(home.run / "deploy.lock", doing="deploying the project", timeout=_CHECK_SECONDS):
        before = current(settings)
        content = _read_content(settings)
        deployment = _build_deployment(content)
        folder = folder_of(settings, deployment)
        if not folder.exists():
            _copy(content, folder)
        same = before and (before.state, before.python) == (deployment.state, deployment.python)
        if checked and not same:
            _check(settings, home, folder)
        _write(_pointer_file(home), json.dumps(asdict(deployment)))
        _refusal_file(home).unlink(missing_ok=True)
        if before and before.state != deployment.state:
            _mark_replaced(folder_of(settings, before))
        remove_old(settings)
        return deployment


def changes(settings: Settings) -> Changes | None:
    """Return what differs between the project and its deployment; None if there is no deployment."""
    deployment = current(settings)
    if deployment is None:
        return None
    now = _build_deployment(_read_content(settings))
    refusal = _refusal_file(locate(settings))
    return Changes(
        deployment.at,
        _diff(deployment.files, now.files),
        _diff(deployment.python, now.python),
        refusal.read_text() if refusal.exists() else "",
    )


def remove_old(settings: Settings, *, dry_run: bool = False) -> list[str]:
    """Remove copies that were replaced more than a day ago; returns their names, also with `dry_run`."""
    home, now = locate(settings), current(settings)
    gone = []
    for folder in _deployments_folder(home).glob("[0-9a-f]*"):
        old = folder.is_dir() and folder.stat().st_mtime < time.time() - _KEEP_SECONDS
        if old and (now is None or folder.name != now.state):
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder.name)
    return sorted(gone)


def _read_content(settings: Settings) -> dict[str, bytes]:
    """Return the files of a deployment, by their path below the project."""
    found, project = {}, read_project(settings.project)
    folders, files = [*project.dbt, *project.sources], list(_FILES)
    for code in project.packages:
        (files if code.endswith(".py") else folders).append(code)
    for name in folders:
        folder = settings.project / name
        for path in _walk_files(folder):
            leads_out = path.resolve().parent != path.parent.resolve()
            data = _LINK + os.fsencode(path.resolve()) if leads_out else path.read_bytes()
            found[f"{name}/{path.relative_to(folder)}"] = data
    for name in files:
        if (path := settings.project / name).exists():
            found[name] = path.read_bytes()
    return found


def _walk_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if name not in _IGNORED and not is_installed_copy(Path(parent, name))
        )
        for name in sorted(names):
            if name not in _IGNORED and (path := Path(parent, name)).exists():
                yield path


def _build_deployment(content: Mapping[str, bytes]) -> Deployment:
    files = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in content.items()}
    package = Path(millpond.__file__).parent
    python = {
        f"src/{path.relative_to(package.parent)}": hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted([*package.rglob("*.py"), *(PACKAGE / "macros").rglob("*.sql")])
    }
    state = hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:16]
    return Deployment(state, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), files, python)


def _copy(content: Mapping[str, bytes], folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, data in content.items():
        path = unfinished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data.startswith(_LINK):
            path.symlink_to(os.fsdecode(data.removeprefix(_LINK)))
        else:
            path.write_bytes(data)
    unfinished.mkdir(parents=True, exist_ok=True)
    unfinished.rename(folder)


def _check(settings: Settings, home: Home, folder: Path) -> None:
    """Load the definitions of a copy in another process; raises DeployRefused if they do not load."""
    here = {variable("project"): str(settings.project), variable("home"): str(settings.home)}
    done = subprocess.run(
        [sys.executable, "-m", _CHECK],
        env=process_environment(**here, **{DEPLOYED: str(folder)}),
        capture_output=True,
        text=True,
        timeout=_CHECK_SECONDS,
        check=False,
    )
    if done.returncode:
        words = done.stdout.strip() or (done.stderr.strip().splitlines() or ["it ended"])[-1]
        reason = words.replace(str(folder), str(settings.project))
        _write(_refusal_file(home), reason)
        _mark_replaced(folder)
        raise DeployRefused(
            f"the project does not load: {reason}",
            unharmed="automation, which keeps running what was loaded before",
            next_step="fix that file, then `millpond reload`",
        )


def _mark_replaced(folder: Path) -> None:
    if folder.exists():
        os.utime(folder)


def _diff(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)


def _deployments_folder(home: Home) -> Path:
    return home.root / "deployed"


def _pointer_file(home: Home) -> Path:
    return _deployments_folder(home) / "current.json"


def _refusal_file(home: Home) -> Path:
    return _deployments_folder(home) / "refused.txt"
