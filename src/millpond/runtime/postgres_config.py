"""How the embedded Postgres is set up: loopback only, passwords always, durable, modest."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path

from millpond.errors import EmbeddedPartError
from millpond.naming import literal, quoted
from millpond.runtime.home import Home
from millpond.runtime.service_user import ServiceUser

_SOCKET_PATH_LIMIT = 100
"""The kernel takes 107 bytes on Linux, 103 on macOS."""

SCRAM_ITERATIONS = 64
"""The passwords are random, 256 bits: stretching them would only slow every connection down (11 to 5 ms)."""


def postgresql_conf(port: int, sockets: Path, hba: Path) -> str:
    """Return the server's configuration; `ALTER SYSTEM` may still override it."""
    return f"""\
# Written anew at every start.
listen_addresses = '127.0.0.1'
port = {port}
hba_file = {_value(str(hba))}
unix_socket_directories = {_value(quoted(str(sockets)))}
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

timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.english'

# Never rows or statements: they may carry what no log should.
log_min_messages = warning
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
"""


def hba_conf() -> str:
    """Return who may connect: everybody with a password, from this machine."""
    return """\
# Written anew at every start.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""


def socket_folder(home: Home, user: ServiceUser | None) -> Path:
    """Return the folder of the server's Unix socket, open to the server's user alone; made if need be.

    It lies in the home where the path is short enough for a socket, else in the folder for temporary files.
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
            f"the socket of the embedded Postgres cannot lie in {folder}: {error.strerror}",
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


def _value(text: str) -> str:
    return literal(text.replace("\\", "\\\\"))
