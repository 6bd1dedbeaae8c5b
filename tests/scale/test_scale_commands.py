"""The commands under the profile scale: they speak with Postgres, S3 and Trino, and start none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from installation import Installation, installed
from servers.stack import Stack

from millpond.lake import refs, tables, trino
from millpond.lake.spec import Replacement, TableSpec
from millpond.settings import settings

SPEC = TableSpec("gold.trial", pa.schema([("name", pa.large_string()), ("value", pa.int64())]), key=("name",))


@pytest.fixture(scope="module")
def found(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a table of one row on main, and two rows on dev."""
    with installed(servers, tmp_path_factory.mktemp("home")) as installation:
        _write("main", ("a", 1))
        refs.create("dev")
        _write("dev", ("a", 2), ("b", 3))
        yield installation
        trino.drop_catalog("dev")


def test_provision_may_be_repeated_and_tells_what_it_found(found: Installation) -> None:
    done = found.run("provision", "--json")
    assert done.returncode == 0, done.stderr
    assert {row["server"]: row["state"] for row in json.loads(done.stdout)} == {
        "postgres": "ready",
        "s3": "ready",
        "trino": "ready",
    }


def test_provision_names_the_server_that_is_not_ready(
    found: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLPOND_S3_SECRET_KEY", "expired")
    monkeypatch.setenv("MILLPOND_POSTGRES_ADMIN_PASSWORD", "wrong")
    done = found.run("provision", "--json")
    assert done.returncode == 1
    states = {row["server"]: row["state"] for row in json.loads(done.stdout)}
    assert (states["postgres"], states["s3"]) == ("unreachable", "unusable")
    assert "expired" not in done.stdout
    monkeypatch.undo()
    assert found.run("provision").returncode == 0


def test_sql_reads_the_ref_it_is_asked_of(found: Installation) -> None:
    for ref, rows in (("main", "1"), ("dev", "2")):
        for table in ("gold.trial", "lake.gold.trial", '"lake"."gold"."trial"'):
            answer = found.run("sql", "--ref", ref, "--csv", f"select count(*) as n from {table}")
            assert answer.stdout.split() == ["n", rows], answer.stderr


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("delete from gold.trial", "runs one read-only statement"),
        ("explain analyze delete from gold.trial", "runs one read-only statement"),
        ("/* select */ drop table gold.trial", "runs one read-only statement"),
        ("select nope from gold.trial", "'nope' cannot be resolved"),
        ("select 1 from gold.trial join marts.trial using (name)", "not both"),
        ("select * from marts.trial", 'relation "marts.trial" does not exist'),
    ],
)
def test_sql_refuses_with_a_reason(found: Installation, query: str, said: str) -> None:
    answer = found.run("sql", query)
    assert answer.returncode == 2
    assert said in answer.stderr


def test_a_branch_is_compared_and_merged_on_s3(found: Installation) -> None:
    compared = found.run("branch", "diff", "dev", "--json")
    assert compared.returncode == 0, compared.stderr
    assert "gold.trial" in compared.stdout
    refs.create("other")
    _write("other", ("a", 1), ("c", 4))
    merged = found.run("branch", "merge", "other")
    assert merged.returncode == 0, merged.stderr
    assert trino.run_query("select name from gold.trial order by 1", "main")[1] == [["a"], ["c"]]


def test_up_runs_dagsters_parts_and_status_tells_of_the_servers(
    found: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLPOND_DAGSTER_PORT", "0")
    up = found.run("up", "--detach")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        told = json.loads(found.run("status", "--json").stdout)
    finally:
        found.run("down")
    assert told["up"]
    assert {part["name"] for part in told["parts"]} >= {"code-server", "webserver", "daemon", "alerts"}
    assert not {part["name"] for part in told["parts"]} & {"postgres", "catalog"}
    assert {server["name"]: server["answers"] for server in told["servers"]} == {
        "postgres": True,
        "s3": True,
        "trino": True,
    }


def test_trino_can_take_its_secrets_from_its_own_environment(
    found: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured, server = settings(), found.servers.trino
    secrets = {
        "MILLPOND_S3_ACCESS_KEY": configured.s3_access_key,
        "MILLPOND_S3_SECRET_KEY": configured.s3_secret_key,
        "MILLPOND_POSTGRES_CATALOG_PASSWORD": configured.postgres_catalog_password,
    }
    told = {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
    monkeypatch.setenv("MILLPOND_TRINO_SECRETS", "environment")
    settings.cache_clear()
    trino.drop_catalog("main")
    server.stop()
    try:
        found.servers.restart(replace(server, environment=told))
        assert trino.run_query("select count(*) from gold.trial where name = 'a'")[1] == [[1]]
        (statement,) = found.statements("CREATE CATALOG")
        assert "${ENV:MILLPOND_S3_SECRET_KEY}" in statement
        assert not any(secret in statement for secret in told.values())
    finally:
        trino.drop_catalog("main")
        server.stop()
        found.servers.restart(server)
        settings.cache_clear()


def _write(ref: str, *rows: tuple[str, int]) -> None:
    data = pa.Table.from_pylist([dict(zip(SPEC.schema.names, row, strict=True)) for row in rows], SPEC.schema)
    tables.replace([Replacement(SPEC, data, None)], ref=ref, run_id="trial")
