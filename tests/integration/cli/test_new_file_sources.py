"""`millpond sources new --kind file` proposes what the files of a folder are like."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import xlsxwriter
import yaml

from millpond.settings import settings
from new_sources import Run, new, table_of, write_till


@pytest.mark.parametrize(
    ("name", "path", "form"),
    [
        ("sales_{day:%Y-%m-%d}.csv", "sales_{date}.csv", None),
        pytest.param(*("{day:%Y/%m/%d}/sales.csv", "{date}/sales.csv", "%Y/%m/%d"), marks=pytest.mark.slow),
        pytest.param(*("sales.{day:%Y%m%d}.csv", "sales.{date}.csv", "%Y%m%d"), marks=pytest.mark.slow),
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


@pytest.mark.slow
def test_files_and_compressed_files_of_one_name_are_of_one_table(new_project: Path, run: Run) -> None:
    drop = new_project / "drop"
    write_till(drop)
    for day in (25, 26):
        file = drop / f"sales_2026-11-{day}.csv"
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    (drop / "staff.csv").write_text("id,name\n1,a\n")
    found = new(run, "till", "--kind", "file", "--url", "drop")
    assert table_of(found, "till")["files"]["path"] == "sales_{date}.csv*"
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [6, 6, 6]
    assert "left out: 1 other data files of the folder" in found["notes"]
    (drop / "sales_2026-11-27.csv_old.csv").write_text("id\n1\n")
    found = new(run, "till", "--kind", "file", "--url", "drop", "--overwrite")
    assert table_of(found, "till")["files"]["path"] == "sales_{date}.csv.gz"


def test_rows_of_another_day_than_their_file_are_loaded_by_their_own(new_project: Path, run: Run) -> None:
    drop = new_project / "drop"
    drop.mkdir()
    for day in (25, 26, 27):
        rows = [f"{day}{hour},2026-11-{day + hour // 24}T{hour % 24:02}:30:00Z" for hour in range(6, 26)]
        (drop / f"shift_2026-11-{day}.csv").write_text("\n".join(["id,at", *rows, ""]))
    found = new(run, "shift", "--kind", "file", "--url", "drop")
    assert table_of(found, "shift")["files"] == {"path": "shift_*.csv", "date": "data"}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [18, 20, 20]
    assert [day["rows_outside_window"] for day in found["preview"]["days"]] == [0, 0, 0]


@pytest.mark.slow
def test_a_workbook_larger_than_memory_allows_is_refused(
    new_project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = new_project / "drop"
    drop.mkdir()
    with xlsxwriter.Workbook(drop / "stock_2026-11-27.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["sku", "Größe"])
        for number in range(1, 2000):
            sheet.write_row(number, 0, [f"a{number}", f"{number}{'x' * 999}"])
    found = new(run, "stock", "--kind", "file", "--url", "drop")
    assert table_of(found, "stock")["columns"]["grosse"] == {"type": "string", "field": "Größe"}
    assert (drop / "stock_2026-11-27.xlsx").stat().st_size < 1 << 20
    monkeypatch.setenv("MILLPOND_RESPONSE_MAX_MB", "1")
    settings.cache_clear()
    code, out, _ = run("sources", "check", "stock", "--day", "2026-11-27")
    assert code == 1
    assert "larger than 1 MB unpacked" in out
    assert "raise MILLPOND_RESPONSE_MAX_MB" in out


@pytest.mark.slow
def test_a_total_at_the_end_is_proposed_as_a_footer_and_a_day_without_rows_is_empty(
    new_project: Path, run: Run
) -> None:
    drop = new_project / "drop"
    write_till(drop)
    for file in drop.iterdir():
        file.write_text(f"{file.read_text()}Total;;63,00;\n")
    (drop / "sales_2026-11-26.csv").write_text("receipt;sold at;amount;what\nTotal;;0,00;\n")
    found = new(run, "till", "--kind", "file", "--url", "drop")
    table = table_of(found, "till")
    assert table["files"]["csv"] == {"skip_footer": 1, "decimal": ","}
    assert table["columns"]["amount"] == "decimal(18,2)"
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [6, 0, 6]
    assert found["preview"]["failed"] == {}
    source = new_project / "sources" / "till.yaml"
    source.write_text(source.read_text().replace("skip_footer: 1, ", ""))
    code, out, _ = run("sources", "check", "till", "--day", "2026-11-26")
    assert code == 1
    assert "1 rows listed for 2026-11-26 have no readable time" in out
    assert "set skip_footer: 1 in csv" in out
