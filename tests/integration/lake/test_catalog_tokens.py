"""Other programs read the lake; writing past the audit needs a token that was asked for."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import requests
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError

from lake_readings import found, rows, write
from millpond.cli.connections import get_connections
from millpond.lake import refs
from millpond.lake.rest_routes import ENDPOINTS
from millpond.runtime.catalog_server import ensure_catalog_process
from millpond.runtime.extensions import open_duckdb
from millpond.runtime.home import Home
from millpond.settings import Settings, settings

_UNROUTED = (
    "POST /v1/{prefix}/namespaces/{namespace}/functions",
    "PUT /v1/{prefix}/namespaces",
    "PATCH /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/config",
)
"""Requests of the specification, or of nobody, that would change something and that no view answers."""
MUTATING = [
    e for e in (*ENDPOINTS, *_UNROUTED) if e.split()[0] not in {"GET", "HEAD"} and not e.endswith("/metrics")
]


def _client(given: dict[str, str]) -> RestCatalog:
    return RestCatalog(
        "test", uri=given["catalog_uri"], token=given["catalog_token"], warehouse=given["catalog_warehouse"]
    )


def _status(given: dict[str, str], token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{given['catalog_uri']}/v1/config", headers=headers, timeout=30).status_code


def test_the_token_of_env_reads_and_changes_nothing(home: Home) -> None:
    write({0: [1, 2]})
    refs.create("dev")
    before, given = found(), get_connections()
    for endpoint in MUTATING:
        method, path = endpoint.split()
        path = path.format(prefix="main", namespace="raw", table="readings", view="readings")
        answer = requests.request(
            method,
            given["catalog_uri"] + path,
            headers={"Authorization": f"Bearer {given['catalog_token']}"},
            json={"name": "x", "namespace": ["x"]},
            timeout=30,
        )
        error: dict[str, Any] = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (403, "ForbiddenException"), endpoint
        assert "millpond env --write" in error["message"], endpoint
    for ref in ("main", "dev"):
        client = _client({**given, "catalog_warehouse": ref})
        table = client.load_table("raw.readings")
        assert sorted(table.scan().to_arrow()["value"].to_pylist()) == [1, 2]
        with pytest.raises(ForbiddenError, match="millpond env --write"):
            table.append(table.scan().to_arrow())
        with pytest.raises(ForbiddenError, match="millpond env --write"):
            client.create_table("raw.other", pa.schema([("n", pa.int64())]))
        with pytest.raises(ForbiddenError, match="millpond env --write"):
            client.drop_table("raw.readings")
    assert found() == before


def test_duckdb_attaches_with_the_reading_token_and_cannot_insert(home: Home) -> None:
    write({0: [1, 2]})
    given = get_connections()
    with open_duckdb() as duck:
        duck.execute(f"CREATE SECRET s (TYPE iceberg, TOKEN '{given['catalog_token']}')")
        duck.execute(
            f"ATTACH 'main' AS lake (TYPE iceberg, ENDPOINT '{given['catalog_uri']}', SECRET s,"
            " ACCESS_DELEGATION_MODE 'none')"
        )
        assert duck.sql("select sum(value) from lake.raw.readings").fetchone() == (3,)
        with pytest.raises(duckdb.Error, match="millpond env --write"):
            duck.execute("insert into lake.raw.readings select * from lake.raw.readings")
    assert found() == {0: [1, 2]}


def test_the_writing_token_is_another_one_private_and_drawn_again_when_its_file_is_gone(
    home: Home, configure: Callable[..., Settings]
) -> None:
    write({0: [1]})
    reading, writing = get_connections(), get_connections(write=True)
    assert (reading["catalog_access"], writing["catalog_access"]) == ("read", "write")
    assert reading["catalog_token"] != writing["catalog_token"]
    assert reading["marts_dsn"] == reading["marts_readonly_dsn"] == writing["marts_readonly_dsn"]
    assert "millpond_marts:" in writing["marts_dsn"]
    assert "application_name" not in reading["marts_dsn"] + writing["marts_dsn"]
    assert not any("millpond_marts" in value for value in reading.values())
    assert get_connections()["catalog_token"] == reading["catalog_token"]
    _client(writing).load_table("raw.readings").append(rows({1: [2]}))
    assert found() == {0: [1], 1: [2]}
    files = sorted(home.run.glob("catalog*.token"))
    assert [f.read_text() for f in files] == [writing["catalog_token"], reading["catalog_token"]]
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600, 0o600]
    before = ensure_catalog_process(settings())
    configure(catalog_port=before.port)  # which need not be the default: other homes have catalogs too
    files[0].unlink()
    again = get_connections(write=True)
    assert ensure_catalog_process(settings()).port == before.port
    assert again["catalog_token"] not in {writing["catalog_token"], reading["catalog_token"]}
    assert _status(again, writing["catalog_token"]) == 401
    assert _status(again, again["catalog_token"]) == _status(again, reading["catalog_token"]) == 200
