"""An installation of Millpond on the real servers: provisioned, empty, with a warehouse of its own."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from servers import postgres, s3
from servers.server import Server
from servers.stack import Stack

from millpond.instance.connections import pool_of
from millpond.lake import home_zone, trino
from millpond.lake.connect import connect
from millpond.runtime import databases
from millpond.runtime.databases import connect_administrator
from millpond.runtime.demo_source import mark_demo_home
from millpond.runtime.provisioning import provision
from millpond.settings import process_environment, settings

ROLES = ("DAGSTER", "CATALOG", "OPS", "MARTS", "READ")


@dataclass(frozen=True)
class Installation:
    """Where a test's Millpond lives, the servers under it, and since when."""

    servers: Stack
    since: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `millpond` with arguments, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "millpond.cli.main", *arguments],
            capture_output=True,
            text=True,
            env=process_environment(),
            check=False,
        )

    def statements(self, containing: str) -> list[str]:
        """Return this installation's statements about `containing` that Trino still knows, newest last."""
        found = trino._run_statement(
            "select query from system.runtime.queries where source = 'millpond' and state = 'FINISHED' "
            f"and created >= timestamp '{self.since:%Y-%m-%d %H:%M:%S.%f} UTC' order by created"
        )
        return [str(sql) for (sql,) in found if containing in str(sql)]


def variables(servers: Stack) -> dict[str, str]:
    """Return the environment of a Millpond on these servers, whose warehouse is new."""
    secrets = {f"MILLPOND_POSTGRES_{role}_PASSWORD": f"of {role}: it's 100 %" for role in ROLES}
    place = f"s3://{s3.BUCKET}/warehouse-{uuid.uuid4().hex[:8]}"
    return {**servers.settings(), **secrets, "MILLPOND_ICEBERG_WAREHOUSE_PATH": place}


@contextmanager
def installed(servers: Stack, home: Path) -> Iterator[Installation]:
    """Yield an empty installation; the databases of the one before are gone."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**variables(servers), "MILLPOND_HOME": str(home)}.items():
            environment.setenv(name, value)
        _forget()
        with postgres.connect(servers.postgres) as admin:
            for database in ("dagster", "lake", "marts"):
                admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        configured = settings()
        mark_demo_home(configured)
        provision(
            lambda name: connect_administrator(configured, name), configured.role_passwords, shared=True
        )
        connect().close()
        trino._run_statement(f"DROP CATALOG IF EXISTS {trino.DATABASE}")
        try:
            yield Installation(servers)
        finally:
            subprocess.run(
                [sys.executable, "-m", "millpond.cli.main", "down"],
                env=process_environment(),
                capture_output=True,
                check=True,
            )
    _forget()


@contextmanager
def serving_catalog(*options: str) -> Iterator[str]:
    """Serve the REST catalog of this installation in a process of its own; yield its address."""
    command = [sys.executable, "-m", "millpond.cli.main", "catalog", "serve", "--port", "0", *options]
    environment = process_environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().split(" on ")[1].split(",")[0]
        finally:
            server.terminate()


@contextmanager
def refusing_writes(server: Server, restart: Callable[[Server], float]) -> Iterator[None]:
    """Have S3 serve what it has and take nothing, within the block."""
    server.stop()
    program, *options = server.command
    restart(replace(server, command=(program, "--readonly", *options)))
    try:
        yield
    finally:
        server.stop()
        restart(server)


def _forget() -> None:
    """Let nothing of another installation in this process live on."""
    settings.cache_clear()
    home_zone.verified.clear()
    databases.current_databases.clear()
    pool_of.cache_clear()
    trino._created.clear()
