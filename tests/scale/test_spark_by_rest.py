"""Spark as a client of the REST catalog: it reads what Millpond wrote, and writes what Millpond reads."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import spark

import rest_endpoint as rest
from lake_readings import write
from millpond.lake import read, refs, tokens
from millpond.lake.history import plan_undo, undo
from millpond.lake.ref_log import list_commits
from millpond.maintenance.tasks import compact_files
from millpond.naming import MAIN_REF
from millpond.settings import settings

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"
_REF = "dev"


@pytest.fixture
def ask(home: object) -> Iterator[Callable[[str], list[list[Any]]]]:
    """Run a statement in Spark, whose catalog `lake` is a branch, declared as docs/catalog.md has it."""
    write({0: [1, 2], 1: [3]})
    refs.create(_REF)
    _, token = tokens.issue("write", dt.timedelta(hours=1), ref=_REF, name="spark")
    (block,) = re.findall(r"```properties\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    properties = dict(line.split("=", 1) for line in block.splitlines())
    properties["spark.sql.catalog.lake.uri"] = rest.serve().uri
    properties["spark.sql.catalog.lake.token"] = token.get_secret_value()
    with spark.session(properties) as run:
        yield run


def test_spark_reads_and_writes_a_branch_with_a_token(
    ask: Callable[[str], list[list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("select value from lake.raw.readings order by 1") == [[1], [2], [3]]
    ask(
        "create table lake.gold.doubled partitioned by (day) tblproperties"
        " ('write.delete.mode' = 'merge-on-read', 'write.merge.mode' = 'merge-on-read') as"
        " select _partition_date as day, value * 2 as n from lake.raw.readings"
    )
    ((first,),) = ask("select snapshot_id from lake.gold.doubled.snapshots")
    ask("insert into lake.gold.doubled values (date '2026-11-01', 8)")
    ask(
        "merge into lake.gold.doubled t"
        " using (select 8 as n, 80 as new union all select 9, 90) s on t.n = s.n"
        " when matched then update set n = s.new"
        " when not matched then insert (day, n) values (date '2026-11-02', s.new)"
    )
    ask("delete from lake.gold.doubled where n = 4")
    ask("alter table lake.gold.doubled add column label string")
    assert ask(f"select n from lake.gold.doubled version as of {first} order by 1") == [[2], [4], [6]]
    assert _numbers() == [2, 6, 80, 90]

    ask("create view lake.gold.large as select n from lake.gold.doubled where n > 50")
    ask("create or replace view lake.gold.large as select n from lake.gold.doubled where n > 80")
    assert ask("select * from lake.gold.large") == [[90]]

    monkeypatch.setenv("MILLPOND_COMPACTION_FILES", "2")
    settings.cache_clear()
    (line,) = compact_files(False).lines
    assert (line.name, line.counts["delete_files"] > 0) == (f"gold.doubled on {_REF}", True)
    ask("refresh table lake.gold.doubled")
    assert ask("select n from lake.gold.doubled order by 1") == [[2], [6], [80], [90]]
    assert _numbers() == [2, 6, 80, 90]

    with pytest.raises(spark.Refused, match="already exists"):
        ask("create table lake.gold.doubled (n int) using iceberg")
    assert read.list_tables(MAIN_REF) == ["raw.readings"]
    clients = {commit.client for commit in list_commits(_REF) if commit.client}
    assert all(client.endswith("(token spark)") for client in clients), clients
    refs.merge(_REF)
    undo(plan_undo(MAIN_REF, list_commits(MAIN_REF)[0].id))
    assert read.list_tables(MAIN_REF) == ["raw.readings"]


def _numbers() -> list[int]:
    return sorted(read.scan(_REF, "gold.doubled")["n"].to_pylist())
