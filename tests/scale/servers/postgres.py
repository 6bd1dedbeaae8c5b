"""A Postgres as a shared one would be: reached over TCP with passwords, nothing in it but its superuser."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg

from millpond.runtime.cluster import ENVIRONMENT, find_binaries
from millpond.runtime.service_user import find_service_user, grant_passage
from servers.server import Server

USER, PASSWORD = "postgres", "scale-test-admin"  # of a server that lives as long as a test session


def prepare(folder: Path, port: int) -> Server:
    """Make a data folder and return the server of it; durable it need not be."""
    data, secret = folder / "data", folder / "initial_password"
    data.mkdir(mode=0o700)
    secret.write_text(PASSWORD)
    user = find_service_user(data)
    if user:
        grant_passage(user, data, find_binaries() / "postgres")
        for path in (folder, data, secret):
            os.chown(path, user.uid, user.gid)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(
        [find_binaries() / "initdb", "-D", data, "-U", USER, *options],
        check=True,
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    secret.unlink()
    command = [
        str(find_binaries() / "postgres"),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        "",
    ]
    for setting in ("fsync=off", "full_page_writes=off", "max_connections=200"):
        command += ["-c", setting]
    return Server("postgres", folder, port, tuple(command), ENVIRONMENT, user)


def ready(server: Server) -> bool:
    """Whether it takes connections."""
    try:
        connect(server).close()
    except psycopg.OperationalError:
        return False
    return True


def connect(server: Server, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
    """Return a connection of the superuser that commits each statement."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
    )
