"""Trino as a client of the REST catalog: what it creates, changes and drops; maintenance of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import trino.dbapi
from installation import Installation, installed, serving_catalog
from servers.stack import Stack
from trino.exceptions import TrinoQueryError

from millpond.lake import read, refs
from millpond.lake.duck import _build_secret
from millpond.lake.ref_log import list_commits
from millpond.naming import literal, quoted
from millpond.runtime.extensions import open_duckdb
from millpond.settings import settings

REF = "client"
Ask = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def home(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a branch for a client."""
    with installed(servers, tmp_path_factory.mktemp("home")) as found:
        refs.create(REF, purpose="of another program")
        yield found


@pytest.fixture(scope="module")
def address(home: Installation) -> Iterator[str]:
    with serving_catalog("--write") as address:
        yield address


@pytest.fixture(scope="module")
def ask(home: Installation, address: str) -> Iterator[Ask]:
    """Run a statement of Trino's in its catalog `by_rest`, which is the branch."""
    with closing(trino.dbapi.connect(host="127.0.0.1", port=home.servers.trino.port, user="test")) as client:

        def run(sql: str) -> list[Any]:
            cursor = client.cursor()
            return list(cursor.execute(sql).fetchall())

        _add(run, "by_rest", address, _issue(home, "write"))
        run("use by_rest.gold")
        yield run
        run("drop catalog by_rest")


def test_trino_creates_changes_and_drops_tables(home: Installation, ask: Ask) -> None:
    ask("create table numbers (n bigint, name varchar, day date) with (partitioning = array['day'])")
    ask("insert into numbers values (1, 'one', date '2026-11-01'), (2, 'two', date '2026-11-02')")
    ask("insert into numbers values (3, 'x', null)")
    ask("update numbers set name = 'three' where n = 3")
    ask(
        "merge into numbers using (values (2, 'zwei'), (4, 'four')) as new (n, name) on numbers.n = new.n"
        " when matched then update set name = new.name"
        " when not matched then insert values (new.n, new.name, date '2026-11-04')"
    )
    ask("delete from numbers where n = 1")
    ask("alter table numbers add column extra double")
    ask("alter table numbers rename column name to label")
    ask("alter table numbers set properties format_version = 2, partitioning = array['month(day)']")
    ask("insert into numbers values (5, 'five', date '2026-12-05', 0.5)")
    ask("create table doubled with (sorted_by = array['n']) as select n * 2 as n from numbers")
    ask("alter table doubled rename to twice")
    found = read.scan(REF, "gold.numbers").select(["n", "label", "extra"]).to_pylist()
    assert sorted(map(tuple, (row.values() for row in found))) == [
        (2, "zwei", None), (3, "three", None), (4, "four", None), (5, "five", 0.5)
    ]  # fmt: skip
    assert sorted(read.scan(REF, "gold.twice")["n"].to_pylist()) == [4, 6, 8, 10]
    assert _in_duckdb(home, "gold.numbers") == ask("select n, label from numbers order by n")
    ask("create or replace table twice as select 7 as n")
    assert read.scan(REF, "gold.twice")["n"].to_pylist() == [7]
    ask("create table twice_more (like twice)")
    ask("drop table twice")
    assert [name for name in read.list_tables(REF) if name.startswith("gold.tw")] == ["gold.twice_more"]
    assert [name for name in read.list_tables("main") if name.startswith("gold.")] == []
    assert all(commit.client for commit in list_commits(REF)[:15])


def test_trino_reads_former_versions(ask: Ask) -> None:
    ask("create table versions as select 1 as n")
    ((first,),) = ask('select snapshot_id from "versions$snapshots"')
    ask("insert into versions values 2")
    assert ask(f"select count(*) from versions for version as of {first}") == [[1]]
    ask(f"alter table versions execute rollback_to_snapshot({first})")
    assert ask("select n from versions") == [[1]]


def test_trino_creates_replaces_and_drops_views_and_schemas(ask: Ask) -> None:
    ask("create schema scratch")
    ask("create table scratch.t as select 1 as n")
    ask("create view scratch.v as select n + 1 as m from scratch.t")
    assert ask("select m from scratch.v") == [[2]]
    ask("create or replace view scratch.v as select n + 2 as m from scratch.t")
    assert ask("select m from scratch.v") == [[3]]
    with pytest.raises(TrinoQueryError, match="non-empty"):
        ask("drop schema scratch")
    ask("drop view scratch.v")
    ask("create view kept as select count(*) as n from scratch.t")
    ask("drop table scratch.t")
    ask("drop schema scratch")
    assert ["scratch"] not in ask("show schemas")


def test_a_token_that_reads_makes_no_table(home: Installation, address: str, ask: Ask) -> None:
    before = read.list_tables(REF)
    _add(ask, "by_rest_reading", address, _issue(home, "read"))
    try:
        with pytest.raises(TrinoQueryError, match="Failed to create transaction"):
            ask("create table by_rest_reading.gold.refused as select 1 as n")
        assert ask("select count(*) from by_rest_reading.information_schema.tables")[0][0] > 0
    finally:
        ask("drop catalog by_rest_reading")
    assert read.list_tables(REF) == before


def test_maintenance_rewrites_what_trino_deleted_and_keeps_what_it_did_not(
    home: Installation, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(
        "create table many with (partitioning = array['part']) as"
        " select n, n % 2 as part, cast(n as varchar) as label from unnest(sequence(1, 1000)) as t (n)"
    )
    for remainder in (0, 1, 2, 3):
        ask(f"delete from many where n % 10 = {remainder}")
    ask("update many set label = 'changed' where n % 10 = 4")
    rows = "select n, label from many order by n"
    before = ask(rows)
    assert len(before) == 600
    deletes = 'select sum(record_count) from "many$files" where content = 1'
    assert ask(deletes)[0][0] >= 400
    monkeypatch.setenv("MILLPOND_COMPACTION_FILES", "2")
    done = home.run("maintain", "compact_files", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"gold.many on {REF}" in done.stdout
    assert ask(deletes) == [[None]]
    assert ask('select count(*) from "many$files"')[0][0] == 2
    assert ask(rows) == before
    assert _in_duckdb(home, "gold.many") == before
    assert "gold.many" not in home.run("maintain", "compact_files", "--json").stdout


def _issue(home: Installation, scope: str) -> str:
    told = home.run("catalog", "token", "--scope", scope, "--ref", REF, "--name", "trino")
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def _add(run: Ask, name: str, address: str, token: str) -> None:
    """Add a catalog to Trino, as docs/catalog.md has it."""
    configured = settings()
    properties = {
        "iceberg.catalog.type": "rest",
        "iceberg.rest-catalog.uri": address,
        "iceberg.rest-catalog.warehouse": REF,
        "iceberg.rest-catalog.security": "OAUTH2",
        "iceberg.rest-catalog.oauth2.token": token,
        "fs.native-s3.enabled": "true",
        "s3.region": configured.s3_region,
        "s3.endpoint": configured.s3_endpoint,
        "s3.path-style-access": "true",
        "s3.aws-access-key": str(configured.s3_access_key.get_secret_value()),
        "s3.aws-secret-key": str(configured.s3_secret_key.get_secret_value()),
    }
    declared = ", ".join(f"{quoted(each)} = {literal(value)}" for each, value in properties.items())
    run(f"create catalog {name} using iceberg with ({declared})")


def _in_duckdb(home: Installation, table: str) -> list[list[Any]]:
    """Return `n` and `label` of a table of the branch, in order, as DuckDB reads the files."""
    location = read.load_table(REF, table).metadata_location
    with open_duckdb() as connection:
        connection.execute(_build_secret())
        found = connection.execute(f"select n, label from iceberg_scan('{location}') order by n").fetchall()
    return [list(row) for row in found]
