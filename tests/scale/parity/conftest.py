"""One lake of both engines for all parity tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dbt.contracts.graph.manifest import Manifest
from engines import Lake, parsed
from servers.stack import Stack


@pytest.fixture(scope="session")
def lake(servers: Stack) -> Iterator[Lake]:
    """Return an empty lake on the servers; SQL calls it `parity`."""
    made = Lake(servers)
    yield made
    made.close()


@pytest.fixture(scope="session")
def manifests() -> dict[str, Manifest]:
    """The dbt project as it is for each engine."""
    return {engine: parsed(engine) for engine in ("duckdb", "trino")}
