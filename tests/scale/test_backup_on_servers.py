"""Backups of a lake in S3, with its databases in one's own Postgres, and their restore into empty ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from installation import Installation, installed
from servers.stack import Stack

from millpond.lake import read, refs, trino
from millpond.lake.files import warehouse_uri
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.runtime.databases import databases
from millpond.settings import settings

SCHEMA = pa.schema([("name", pa.string()), ("value", pa.int64())])
SPEC = TableSpec("gold.trial", SCHEMA, key=("name",))
MART = "create table marts.trial as select n, 'ä' || n as name from generate_series(1, 1000) n"


@pytest.fixture(scope="module")
def backups(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A backup with the files and one without, and the warehouse; the databases of it are gone then."""
    folder = tmp_path_factory.mktemp("backups")
    with installed(servers, tmp_path_factory.mktemp("home")) as home:
        _write("main", ("a", 1))
        refs.create("dev")
        _write("dev", ("a", 2), ("b", 3))
        with databases().marts.connect() as connection:
            connection.execute(MART)
        told = _back_up(home, folder / "whole")
        assert (told["tables"], told["rows"], told["copied_files"] > 0) == (1, 1, True), told
        _write("main", ("c", 4), ("d", 5))
        again = _back_up(home, folder / "whole")
        assert 0 < again["copied_files"] < again["files"], again
        _back_up(home, folder / "databases", "--no-data")
        refused = home.run("backup", "verify", str(folder / "whole"))
        assert refused.returncode != 0
        assert "Postgres is your own" in refused.stderr
        warehouse = warehouse_uri()
    return {"whole": str(folder / "whole"), "databases": str(folder / "databases"), "warehouse": warehouse}


@pytest.mark.parametrize("kind", ["whole", "databases"])
def test_a_backup_is_restored_into_empty_servers(
    kind: str, servers: Stack, backups: dict[str, str], tmp_path: Path
) -> None:
    with installed(servers, tmp_path / "home") as home, pytest.MonkeyPatch.context() as environment:
        if kind == "databases":
            environment.setenv("MILLPOND_ICEBERG_WAREHOUSE_PATH", backups["warehouse"])
            settings.cache_clear()
        done = home.run("restore", backups[kind])
        assert done.returncode == 0, done.stdout + done.stderr
        assert (_rows("main"), _rows("dev")) == ([("c", 4), ("d", 5)], [("a", 2), ("b", 3)])
        location = read.load_table("dev", SPEC.name).metadata_location
        assert location.startswith(f"{warehouse_uri()}/")
        in_trino = trino.run_query("select name, value from gold.trial order by 1", "dev")
        assert in_trino[1] == [["a", 2], ["b", 3]]
        trino.drop_catalog("dev")
        with databases().marts.connect() as connection:
            found = connection.execute("select count(*), max(name) from marts.trial").fetchone()
        assert found == (1000, "ä999")
        _write("main", ("e", 6))
        again = home.run("restore", backups[kind])
        assert again.returncode != 0
        assert "not empty" in again.stderr
        assert _rows("main") == [("e", 6)]


def _back_up(home: Installation, folder: Path, *options: str) -> dict[str, int]:
    done = home.run("backup", str(folder), "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, int] = json.loads(done.stdout)
    return told


def _write(ref: str, *rows: tuple[str, int]) -> None:
    data = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
    replace([Replacement(SPEC, data, None)], ref=ref, run_id="trial")


def _rows(ref: str) -> list[tuple[str, int]]:
    return sorted((row["name"], row["value"]) for row in read.scan(ref, SPEC.name).to_pylist())
