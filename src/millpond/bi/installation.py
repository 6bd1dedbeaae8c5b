"""Superset in a home: its secrets, its database, and what Millpond has it do by commands."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from millpond.bi.bundle import FOLDER, copy_bundle
from millpond.errors import EmbeddedPartError
from millpond.redaction import register
from millpond.runtime.databases import connect_superuser, databases
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import tail
from millpond.runtime.provisioning import provision_superset
from millpond.runtime.superset import ENVIRONMENT, state_folder
from millpond.settings import PREFIX, Settings, process_environment

SUPERSET: Final = Path(__file__).with_name("superset")
"""Folder of the files that Superset's own Python reads."""
ADMINISTRATOR: Final = "admin"
_SECRETS: Final = ("secret_key", "database_password", "admin_password")
_INSTALLED, _IMPORTED = "installed", "imported"
_COMMAND_SECONDS = 900.0
_LOG = "superset-commands.log"


def password_file(settings: Settings) -> Path:
    """Return the file with the administrator's password, which only the owner of the home can read."""
    return state_folder(layout(settings)) / "admin_password"


def prepare(settings: Settings, report: Callable[[str], None]) -> tuple[Path, dict[str, str]]:
    """Return Superset's Python and the variables it runs with, after installing what is missing.

    Its database is migrated when its packages are new, and the project's bundle is imported when it differs
    from the last one that was. Raises InstallFailed, EmbeddedPartError.
    """
    python, variables = ENVIRONMENT.ensure(report), _prepare_variables(settings)
    folder, wanted = state_folder(layout(settings)), str(python)
    if _read(folder / _INSTALLED) != wanted:
        report("preparing Superset's database, roles and administrator")
        run_command(settings, "install", hash_bundle(settings) and str(_stage_bundle(settings)))
        (folder / _INSTALLED).write_text(wanted)
        record_import(settings)
    elif hash_bundle(settings) and not is_imported(settings):
        report("importing the bundle, which has changed")
        import_bundle(settings)
    return python, variables


def import_bundle(settings: Settings) -> None:
    """Have Superset import the project's bundle, over what it has of it. Raises EmbeddedPartError."""
    run_command(settings, "import", str(_stage_bundle(settings)))
    record_import(settings)


def is_imported(settings: Settings) -> bool:
    """Return whether the bundle is the one that Superset imported last."""
    return _read(state_folder(layout(settings)) / _IMPORTED) == hash_bundle(settings)


def hash_bundle(settings: Settings) -> str:
    """Return a hash of the bundle's files; empty if there are none."""
    folder, found = settings.project / FOLDER, hashlib.sha256()
    files = sorted(folder.rglob("*.yaml"))
    for file in files:
        found.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest() if files else ""


def run_command(settings: Settings, command: Literal["install", "import", "export"], argument: str) -> None:
    """Run one of `superset/superset_commands.py` in Superset's Python; its output goes to a log.

    Raises EmbeddedPartError with the end of the log, or if Superset was not prepared yet.
    """
    python = ENVIRONMENT.ensure(lambda _: None) if command == "install" else _require_prepared(settings)
    variables = _prepare_variables(settings)
    log = layout(settings).logs / _LOG
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        done = subprocess.run(
            [str(python), str(SUPERSET / "superset_commands.py"), command, argument],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
    if done.returncode:
        raise EmbeddedPartError(
            f"Superset could not {command} its dashboards; the log ends:\n{tail(log, begin, lines=6)}",
            unharmed="the marts, and the dashboards as they were",
            next_step=f"read {log}, fix the cause and try again",
        )


def is_prepared(settings: Settings) -> bool:
    """Return whether Superset's packages are installed and its database was prepared for them."""
    python = ENVIRONMENT.find()
    return python is not None and _read(state_folder(layout(settings)) / _INSTALLED) == str(python)


def _require_prepared(settings: Settings) -> Path:
    python = ENVIRONMENT.find()
    if python is None or not is_prepared(settings):
        raise EmbeddedPartError(
            "Superset was not started in this home yet, or not since its packages changed",
            unharmed="the files in bi/, and the marts",
            next_step="`millpond bi up` installs, prepares and starts it",
        )
    return python


def _prepare_variables(settings: Settings) -> dict[str, str]:
    """Return the variables of Superset's processes; they name the files of secrets, and hold none."""
    home, found = layout(settings), databases()
    folder = _write_secrets(home, found.marts_readonly.password)
    _provision(home, folder)
    here = {
        "SUPERSET_CONFIG_PATH": str(SUPERSET / "superset_config.py"),
        "SUPERSET_HOME": str(folder),
        "BI_POSTGRES_HOST": found.marts_readonly.host,
        "BI_POSTGRES_PORT": str(found.marts_readonly.port),
        "BI_POSTGRES_SSLMODE": found.marts_readonly.sslmode,
        **{f"BI_{name.upper()}_FILE": str(folder / name) for name in (*_SECRETS, "marts_password")},
    }
    kept = {n: v for n, v in process_environment().items() if not n.startswith((PREFIX, "PYTHON", "VIRTUAL"))}
    return {**kept, **here, "PYTHONUNBUFFERED": "1"}


def _write_secrets(home: Home, marts: SecretStr) -> Path:
    folder = state_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in _SECRETS:
        if not (folder / name).exists():
            _write_private(folder / name, secrets.token_urlsafe(24))
        register((folder / name).read_text())
    _write_private(folder / "marts_password", marts.get_secret_value())
    return folder


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _provision(home: Home, folder: Path) -> None:
    server = find_server(home)
    assert server is not None  # `databases()` started it
    provision_superset(
        lambda name: connect_superuser(home, server, name),
        SecretStr((folder / "database_password").read_text()),
    )


def _stage_bundle(settings: Settings) -> Path:
    target = state_folder(layout(settings)) / "bundle"
    copy_bundle(settings.project / FOLDER, target)
    return target


def record_import(settings: Settings) -> None:
    """Record that Superset has what the bundle has."""
    (state_folder(layout(settings)) / _IMPORTED).write_text(hash_bundle(settings))


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
