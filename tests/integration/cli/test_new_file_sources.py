"""`millpond sources new --kind file` proposes what the files of a folder are like."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from new_sources import Run, new, table_of, write_till


@pytest.mark.parametrize(
    ("name", "path", "form"),
    [
        ("sales_{day:%Y-%m-%d}.csv", "sales_{date}.csv", None),
        ("{day:%Y/%m/%d}/sales.csv", "{date}/sales.csv", "%Y/%m/%d"),
        ("sales.{day:%Y%m%d}.csv", "sales.{date}.csv", "%Y%m%d"),
    ],
)
def test_files_are_proposed_with_their_form_and_the_day_in_their_names(
    new_project: Path, run: Run, name: str, path: str, form: str | None
) -> None:
    write_till(new_project / "data" / "till", name, "cp1252")
    found = new(run, "till", "--kind", "file", "--url", "data/till")
    table = table_of(found, "till")
    expected = {"path": path, "encoding": "cp1252", "csv": {"decimal": ","}}
    assert table["files"] == expected | ({"date_format": form} if form else {})
    assert (table["name"], table["key"], table["event_time"]) == ("sales", ["receipt"], {"column": "sold_at"})
    assert table["columns"]["sold_at"] == {
        "type": "timestamp",
        "field": "sold at",
        "format": "%d.%m.%Y %H:%M",
    }
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [6, 6, 6]
    assert found["preview"]["rows"][0]["amount"] == 10.5
    assert found["preview"]["rows"][0]["what"] == "Käse"
    assert "MILLPOND_TILL_URL=./data/till" in (new_project / ".env").read_text()
    assert len(found["files"]["sources/till.yaml"].splitlines()) <= 15


def test_rows_without_a_time_are_of_the_day_in_the_name_of_their_file(new_project: Path, run: Run) -> None:
    (new_project / "drop").mkdir()
    for day in (26, 27):
        (new_project / "drop" / f"stock-2026-11-{day}.jsonl").write_text('{"sku": "a"}\n{"sku": "b"}\n')
    found = new(run, "stock", "--kind", "file", "--url", "drop")
    table = table_of(found, "stock")
    assert table["event_time"] == {"column": "file_date", "unit": "date"}
    assert table["columns"]["file_date"] == {"type": "date", "field": "_file_date"}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [0, 2, 2]


def test_a_folder_of_several_tables_is_refused_with_paths_to_choose_from(new_project: Path, run: Run) -> None:
    (new_project / "drop").mkdir()
    for name in ("customers.csv", "orders.csv"):
        (new_project / "drop" / name).write_text("id,name\n1,a\n2,b\n")
    code, _, error = run("sources", "new", "drop", "--kind", "file", "--url", "drop")
    assert code == 2
    assert '--path "customers.csv"' in error
    table = table_of(new(run, "drop", "--kind", "file", "--url", "drop", "--path", "orders.csv"), "drop")
    assert (table["name"], table["load"], table["key"]) == ("orders", "whole", ["id"])


def test_a_source_has_a_mart_where_one_asks_for_it(new_project: Path, run: Run) -> None:
    write_till(new_project / "data" / "till")
    found = new(run, "till", "--kind", "file", "--url", "data/till", "--publish")
    model = yaml.safe_load(found["files"]["dbt/models/gold/till/sales.yml"])["models"][0]
    assert model["config"]["meta"]["publish"] == {"key": ["receipt"]}
    assert all(column["data_type"] for column in model["columns"])
    assert found["next"][-1] == 'millpond sql "select * from marts.sales limit 10"'
