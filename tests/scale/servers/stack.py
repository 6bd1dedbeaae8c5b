"""All servers of one test session, in one folder, known to every process that is given the folder."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from millpond.runtime.home import exclusive
from servers import nessie, postgres, s3, trino
from servers.server import Server, free_ports

_READY = {"postgres": postgres.ready, "s3": s3.ready, "trino": trino.ready, "nessie": nessie.ready}
_ROLES = ("DAGSTER", "CATALOG", "OPS", "MARTS", "READ")


@dataclass(frozen=True)
class Stack:
    """The servers, running."""

    postgres: Server
    s3: Server
    trino: Server
    nessie: Server

    @property
    def s3_endpoint(self) -> str:
        """Where S3 is served."""
        return f"http://127.0.0.1:{self.s3.port}"

    @property
    def nessie_uri(self) -> str:
        """Where Nessie is served, without the path of an interface."""
        return f"http://127.0.0.1:{self.nessie.port}"

    @property
    def all(self) -> list[Server]:
        """Every server, in the order they depend on each other."""
        return [self.postgres, self.s3, self.trino, self.nessie]

    def restart(self, server: Server) -> float:
        """Start a server that was stopped; returns the seconds until it answers."""
        return server.start(_READY[server.name])

    def settings(self) -> dict[str, str]:
        """Return the settings of a Millpond that uses these servers, by environment variable."""
        return {
            "MILLPOND_PROFILE": "scale",
            "MILLPOND_ICEBERG_WAREHOUSE_PATH": f"s3://{s3.BUCKET}/warehouse",
            "MILLPOND_S3_ENDPOINT": self.s3_endpoint,
            "MILLPOND_S3_REGION": s3.REGION,
            "MILLPOND_S3_ACCESS_KEY": s3.ACCESS_KEY,
            "MILLPOND_S3_SECRET_KEY": s3.SECRET_KEY,
            "MILLPOND_TRINO_HOST": "127.0.0.1",
            "MILLPOND_TRINO_PORT": str(self.trino.port),
            "MILLPOND_NESSIE_URI": self.nessie_uri,
            "MILLPOND_POSTGRES_HOST": "127.0.0.1",
            "MILLPOND_POSTGRES_PORT": str(self.postgres.port),
            "MILLPOND_POSTGRES_ADMIN_USER": postgres.USER,
            "MILLPOND_POSTGRES_ADMIN_PASSWORD": postgres.PASSWORD,
            **{f"MILLPOND_POSTGRES_{role}_PASSWORD": f"test-{role.lower()}" for role in _ROLES},
        }


def install() -> None:
    """Bring every program into the cache that is not there yet."""
    for server in (s3, trino, nessie):
        server.install()


def running(folder: Path) -> Stack:
    """Return the servers of `folder`, started by whoever asks first."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)  # as root, Postgres runs as another user
    with exclusive(folder / "lock", doing="starting the servers", timeout=1800):
        if not (folder / "stack.json").exists():
            _start(folder)
        return _read(folder)


def stop(folder: Path) -> None:
    """Stop the servers of `folder`, if they run; their logs stay."""
    if (folder / "stack.json").exists():
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.stop, _read(folder).all))
        (folder / "stack.json").unlink()


def _start(folder: Path) -> None:
    install()
    folders = {name: folder / name for name in _READY}
    for each in folders.values():
        each.mkdir(mode=0o711)
    ports = dict(zip(folders, free_ports(len(folders)), strict=True))
    servers = [
        postgres.prepare(folders["postgres"], ports["postgres"]),
        s3.prepare(folders["s3"], ports["s3"]),
        trino.prepare(folders["trino"], ports["trino"]),
        nessie.prepare(folders["nessie"], ports["nessie"], f"http://127.0.0.1:{ports['s3']}"),
    ]
    # Written first: whoever stops the servers also finds those of a start that failed.
    (folder / "stack.json").write_text(json.dumps({s.name: s.record() for s in servers}, indent=1))
    try:
        with ThreadPoolExecutor() as pool:
            times = list(pool.map(lambda server: server.start(_READY[server.name]), servers))
    except BaseException:
        stop(folder)
        raise
    took = ", ".join(f"{s.name} {seconds:.1f} s" for s, seconds in zip(servers, times, strict=True))
    print(f"servers up: {took}", flush=True)


def _read(folder: Path) -> Stack:
    records = json.loads((folder / "stack.json").read_text())
    return Stack(**{name: Server.read(record) for name, record in records.items()})
