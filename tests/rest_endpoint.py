"""The Iceberg REST catalog as other programs meet it, served by a thread of the test process."""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb
from pydantic import SecretStr

from millpond.lake.rest_app import build_app
from millpond.runtime.extensions import open_duckdb
from served_app import serving


@dataclass(frozen=True)
class Endpoint:
    """Where the catalog listens, and the bearer token that writes."""

    uri: str
    token: SecretStr


@lru_cache(1)
def serve() -> Endpoint:
    """Return the catalog of this process, started when first asked for; it ends with the process."""
    token = SecretStr(secrets.token_urlsafe(32))
    served = ExitStack()
    atexit.register(served.close)
    return Endpoint(served.enter_context(serving(build_app(token))), token)


@contextmanager
def attached(ref: str = "main") -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB that reads and changes `ref` as `lake`, the way a DuckDB outside Millpond does."""
    endpoint = serve()
    with open_duckdb() as connection:
        connection.execute(
            f"CREATE SECRET token (TYPE iceberg, TOKEN '{endpoint.token.get_secret_value()}');"
            f"ATTACH '{ref}' AS lake (TYPE iceberg, ENDPOINT '{endpoint.uri}', SECRET token,"
            " ACCESS_DELEGATION_MODE 'none'); USE lake.raw"
        )
        yield connection


def describe_view(sql: str) -> dict[str, Any]:
    """Return the version of a view of this SQL, as a client sends it."""
    return {
        "version-id": 1,
        "timestamp-ms": 1,
        "schema-id": 0,
        "summary": {},
        "default-namespace": ["gold"],
        "representations": [{"type": "sql", "sql": sql, "dialect": "spark"}],
    }
