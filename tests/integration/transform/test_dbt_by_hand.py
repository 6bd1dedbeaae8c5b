"""dbt as a person types it, in a process of its own, over a small project and a real lake."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from millpond.errors import LakeError
from millpond.lake import duck, read, refs
from millpond.runtime.dbt_package import PACKAGE
from millpond.runtime.home import Home
from small_projects import load

PROJECT = {
    "dbt_project.yml": """
name: shop
profile: millpond
clean-targets: [target, dbt_packages]
flags: {send_anonymous_usage_stats: false}
on-run-start: ["create table if not exists gold.calls (called varchar)"]
on-run-end: ["insert into gold.calls values ('{{ flags.WHICH }}')"]
""",
    "seeds/raw_orders.csv": "id,customer,amount\n1,ann,10\n2,bob,-20\n",
    "models/orders.sql": """
{{ config(materialized='table', post_hook="insert into gold.calls values ('orders')") }}
select
    id,
    amount,
    {{ adapter.get_relation('lake', 'gold', 'raw_orders') is not none }} as seed_is_there,
    '{{ (load_relation(this) or this.incorporate(type="view")).type }}' as type_before
from {{ ref('raw_orders') }}
""",
    "models/orders.yml": """
models:
  - name: orders
    description: What was ordered
    columns:
      - name: amount
        description: in euros
        data_tests: [{positive: {config: {store_failures: true, severity: warn}}}]
""",
    "macros/mine.sql": """
{% test positive(model, column_name) %} select * from {{ model }} where {{ column_name }} < 0 {% endtest %}
{% macro straight_on() %}
    {% do run_query("delete from gold.orders where id = 1") %}
    {% do run_query("create schema lake.elsewhere; create table elsewhere.kept as select 1 as a") %}
{% endmacro %}
{% macro into_memory() %} {% do run_query("create table memory.main.lost as select 1 as a") %} {% endmacro %}
""",
    "models/sources.yml": """
sources:
  - name: raw
    loaded_at_field: loaded_at
    freshness: {error_after: {count: 1, period: day}}
    tables: [{name: visits}, {name: sales}]
""",
    "snapshots/history.yml": """
snapshots:
  - name: orders_history
    relation: ref('raw_orders')
    config: {unique_key: id, strategy: check, check_cols: all}
""",
}


RAW = ["raw.sales", "raw.visits"]


def rows_of(table: str) -> list[dict[str, Any]]:
    """Return the rows of a table of the branch dev."""
    with duck.connect("dev") as connection:
        rows: list[dict[str, Any]] = connection.execute(f"from lake.{table}").to_arrow_table().to_pylist()
    return rows


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        file = tmp_path / "shop" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "shop"


LOOP = """
import sys
from dbt.cli.main import dbtRunner
for line in sys.stdin:
    print("\\n>>>", "done" if dbtRunner().invoke(line.split()).success else "failed", flush=True)
"""


class Dbt:
    """One process of this installation in which commands of dbt are typed: its start proves nothing."""

    def __init__(self, shop: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            cwd=shop,
            env={**os.environ, "DBT_PROFILES_DIR": str(PACKAGE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self, command: str, outcome: str = "done") -> str:
        """Return what a command printed, which must come to this outcome."""
        assert self.process.stdin
        assert self.process.stdout
        print(command, file=self.process.stdin, flush=True)
        printed = []
        for line in self.process.stdout:
            if line.startswith(">>>"):
                assert line == f">>> {outcome}\n", "".join(printed)
                return "".join(printed)
            printed.append(line)
        raise AssertionError("".join(printed))


@pytest.fixture
def dbt(home: Home, shop: Path) -> Iterator[Dbt]:
    load("visits", pa.table({"loaded_at": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]}))
    load("sales", pa.table({"loaded_at": [dt.datetime(2999, 1, 1, tzinfo=dt.UTC)]}))
    started = Dbt(shop)
    with started.process:
        yield started
        assert started.process.stdin
        started.process.stdin.close()


def build_on_a_branch(dbt: Dbt) -> None:
    printed = dbt.said("build")
    assert "on the new branch dev of main" in printed
    assert "PASS=5 WARN=1 ERROR=0" in printed
    assert sorted(read.list_tables("main")) == RAW
    shops = {"gold.calls", "gold.orders", "gold.orders_history", "gold.raw_orders", *RAW}
    (failures,) = set(read.list_tables("dev")) - shops
    assert [r["amount"] for r in rows_of(failures)] == [-20]
    assert [(r["seed_is_there"], r["type_before"]) for r in rows_of("gold.orders")] == [(True, "view")] * 2
    assert sorted(r["called"] for r in rows_of("gold.calls")) == ["build", "orders"]


@pytest.mark.slow
def test_a_build_by_hand_is_on_a_branch_and_nothing_is_on_main(dbt: Dbt, shop: Path) -> None:
    build_on_a_branch(dbt)
    assert (shop / "dbt_packages" / "millpond").resolve() == PACKAGE
    dbt.said("deps")
    assert not (shop / "dbt_packages" / "millpond").exists()
    assert "memory.main.lost was not written" in dbt.said("run-operation into_memory", "failed")
    assert "dbt-by-hand-does-not-use-trino" in dbt.said("run-operation straight_on --target scale", "failed")


@pytest.mark.slow
def test_whatever_dbt_by_hand_writes_is_on_a_branch_and_nothing_is_on_main(dbt: Dbt, shop: Path) -> None:
    build_on_a_branch(dbt)
    (shop / "seeds" / "raw_orders.csv").write_text("id,customer,amount\n1,ann,11\n2,bob,-20\n3,eve,30\n")
    dbt.said("build")
    dbt.said("run-operation straight_on")
    assert {r["type_before"] for r in rows_of("gold.orders")} == {"table"}
    history = [(r["id"], r["amount"], r["dbt_valid_to"] is None) for r in rows_of("gold.orders_history")]
    assert sorted(history) == [(1, 10, False), (1, 11, True), (2, -20, True), (3, 30, True)]
    assert sorted(r["id"] for r in rows_of("gold.orders")) == [2, 3]
    assert rows_of("elsewhere.kept") == [{"a": 1}]
    with pytest.raises(LakeError, match=r"elsewhere\.kept are not in a layer of main"):
        refs.merge("dev")
    printed = dbt.said("source freshness", "failed")
    assert "ERROR STALE freshness of raw.visits" in printed
    assert "PASS freshness of raw.sales" in printed
    before = rows_of("gold.orders")
    dbt.said("clone --state target")
    dbt.said("clone --state target --full-refresh")
    assert rows_of("gold.orders") == before
    good = (shop / "models" / "orders.sql").read_text()
    (shop / "models" / "orders.sql").write_text(good + "where nowhere = 1")
    dbt.said("build --select raw_orders orders", "failed")
    (shop / "models" / "orders.sql").write_text(good)
    printed = dbt.said("retry")
    assert "PASS=3 WARN=1 ERROR=0" in printed, "the model, its test and two hooks, but not the seed again"
    assert "gold.raw_orders" not in printed
    assert sorted(r["id"] for r in rows_of("gold.orders")) == [1, 2, 3]
    assert "does not write to main" in dbt.said("run --target main", "failed")
    assert sorted(read.list_tables("main")) == RAW
