"""dbt as a person types it, in processes of its own, over a small project and a real lake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millpond.errors import LakeError
from millpond.lake import duck, read, refs
from millpond.runtime.home import Home
from millpond.settings import settings
from millpond.transform.invocation import project_folder

PROJECT = {
    "dbt_project.yml": """
name: shop
profile: millpond
macro-paths: [macros, {macros}]
flags: {{send_anonymous_usage_stats: false}}
on-run-start: ["create table if not exists gold.calls (called varchar)"]
on-run-end: ["insert into gold.calls values ('{{{{ flags.WHICH }}}}')"]
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
    "snapshots/history.yml": """
snapshots:
  - name: orders_history
    relation: ref('raw_orders')
    config: {unique_key: id, strategy: check, check_cols: all}
""",
}


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
        file.write_text(text.format(macros=project_folder(settings()) / "macros") if name[0] == "d" else text)
    return tmp_path / "shop"


CALLS = """
import sys
from dbt.cli.main import dbtRunner
for command in sys.argv[1:]:
    print(f">>> {command}: {'done' if dbtRunner().invoke(command.split()).success else 'failed'}")
"""


def said(shop: Path, *command: str) -> str:
    """Run a program of this installation in the project, and return what it printed."""
    (shop / "profiles.yml").write_text((project_folder(settings()) / "profiles.yml").read_text())
    program = Path(sys.executable).with_name(command[0])
    ran = subprocess.run([program, *command[1:]], cwd=shop, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_whatever_dbt_by_hand_writes_is_on_a_branch_and_nothing_is_on_main(home: Home, shop: Path) -> None:
    printed = said(shop, "dbt", "build")
    assert "on the new branch dev of main" in printed
    assert "PASS=5 WARN=1 ERROR=0" in printed
    assert read.table_names("main") == []
    shops = {"gold.calls", "gold.orders", "gold.orders_history", "gold.raw_orders"}
    (failures,) = set(read.table_names("dev")) - shops
    assert [r["amount"] for r in rows_of(failures)] == [-20]
    assert [(r["seed_is_there"], r["type_before"]) for r in rows_of("gold.orders")] == [(True, "view")] * 2
    assert sorted(r["called"] for r in rows_of("gold.calls")) == ["build", "orders"]
    (shop / "seeds" / "raw_orders.csv").write_text("id,customer,amount\n1,ann,11\n2,bob,-20\n3,eve,30\n")
    calls = ["build", "run-operation straight_on", "run-operation into_memory", "run --target main"]
    printed = said(shop, "python", "-c", CALLS, *calls)
    done = ["done", "done", "failed", "failed"]
    assert [line.rsplit(" ", 1)[1] for line in printed.splitlines() if line.startswith(">>>")] == done
    assert {r["type_before"] for r in rows_of("gold.orders")} == {"table"}
    history = [(r["id"], r["amount"], r["dbt_valid_to"] is None) for r in rows_of("gold.orders_history")]
    assert sorted(history) == [(1, 10, False), (1, 11, True), (2, -20, True), (3, 30, True)]
    assert sorted(r["id"] for r in rows_of("gold.orders")) == [2, 3]
    assert rows_of("elsewhere.kept") == [{"a": 1}]
    with pytest.raises(LakeError, match=r"elsewhere\.kept lie in no layer of main"):
        refs.merge("dev")
    assert "memory.main.lost was not written" in printed
    assert "does not write to main" in printed
    assert read.table_names("main") == []
