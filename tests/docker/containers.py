"""The stack of docker/ under a name, with secrets and ports of its own: one of yours keeps its data."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import yaml
from engine import docker, run
from stand_ins import ROOT

PROJECT = "millpond-test"
_IMAGES = {"MILLPOND_IMAGE": "millpond:test", "MILLPOND_SUPERSET_IMAGE": "superset-millpond:test"}
_FILES = ROOT / "docker"
_PORTS = tuple(f"MILLPOND_{part}_PORT" for part in ("DAGSTER", "DASHBOARD", "MARTS", "SUPERSET", "CATALOG"))
_PROFILES = ("demo", "bi", "nessie", "catalog")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Containers:
    """One stack; `options` are those of `docker compose` before the command."""

    options: tuple[str, ...]
    environment: dict[str, str]

    def compose(self, *command: str, check: bool = True) -> CompletedProcess[str]:
        """Run `docker compose command…` for this stack."""
        return docker("compose", *self.options, *command, check=check, env=self.environment)

    def with_runs_in_containers(self) -> Containers:
        """Return the same stack with docker/compose.runs.yaml on top."""
        files = [each for each in self.options if each.startswith("--file=")]
        others = self.options[len(files) :]
        group = str(Path("/var/run/docker.sock").stat().st_gid)
        options = (*files, f"--file={_FILES / 'compose.runs.yaml'}", *others)
        return Containers(options, {**self.environment, "DOCKER_GROUP": group})

    def graphql(self, query: str, **variables: object) -> Any:
        """Return what Dagster's pages answer to a query."""
        port = int(self.environment["MILLPOND_DAGSTER_PORT"])
        body = json.dumps({"query": query, "variables": variables})
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as pages:
            pages.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            return json.load(pages.getresponse())["data"]

    def inspect(self) -> dict[str, dict[str, Any]]:
        """Return what Docker knows of each container, by service; those that ended included."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        found = json.loads(docker("inspect", *ids).stdout)
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def query(self, database: str, sql: str) -> list[str]:
        """Return the rows of a query to Postgres as its administrator, columns joined by `|`."""
        psql = (
            "psql",
            "--no-psqlrc",
            "-At",
            "--username=postgres",
            f"--dbname={database}",
            f"--command={sql}",
        )
        return self.compose("exec", "-T", "postgres", *psql).stdout.splitlines()


def official_images() -> list[str]:
    """Return the official images that compose.yaml and the Dockerfile name."""
    services = yaml.safe_load((_FILES / "compose.yaml").read_text())["services"].values()
    ours = re.findall(r"^ARG \w*PYTHON_IMAGE=(.+)$", (_FILES / "Dockerfile").read_text(), re.MULTILINE)
    images = {each["image"] for each in services if not each["image"].startswith("${")}
    return sorted({*images, *ours})


def containers(folder: Path, *, stand_ins: bool) -> Containers:
    """Return the stack with all of its profiles; secrets are made in `folder`."""
    run([_FILES / "make-secrets", folder])
    files = ["compose.yaml", *(["compose.stand-ins.yaml"] if stand_ins else [])]
    chosen = [f"--file={_FILES / each}" for each in files]
    foreign = ("MILLPOND_", "COMPOSE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"SECRETS": str(folder), **_IMAGES}
    environment["MILLPOND_AUTOMATION"] = "false"  # what the tests time has the machine to itself
    environment |= {name: str(_free_port()) for name in _PORTS}
    if _CERTIFICATES.exists():
        environment.setdefault("CA_BUNDLE", str(_CERTIFICATES))
    profiles = [f"--profile={each}" for each in _PROFILES]
    return Containers((*chosen, f"--project-name={PROJECT}", *profiles), environment)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
