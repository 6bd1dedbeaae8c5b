"""`millpond sources new` proposes what the system it looks at is like, and writes that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from fake_source import Answer, FakeSource, Request, rows_as_json
from millpond.ingestion.reading import read_source
from new_sources import Run, make_database, new, table_of
from paged_shop import ORDERS, TOKEN, PagedShop


@pytest.mark.parametrize(
    ("paging", "selector", "paginator"),
    [
        ("single_page", "$", None),
        ("page_number", "data.orders", {"type": "page_number", "base_page": 1, "total_path": "meta.total"}),
        ("offset", "items", {"type": "offset", "limit": 100, "total_path": "total"}),
        ("cursor", "results", {"type": "cursor", "cursor_path": "next_cursor"}),
        ("json_link", "results", {"type": "json_link"}),
        ("header_link", "$", {"type": "header_link"}),
    ],
)
def test_a_rest_source_is_proposed_with_rows_key_time_paging_and_filter(
    new_project: Path, shop: FakeSource, run: Run, paging: str, selector: str, paginator: Any
) -> None:
    shop.serve = PagedShop(paging)
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    table = table_of(found)
    assert table["endpoint"].get("paginator") == paginator
    assert table["endpoint"].get("data_selector", "$") == selector
    assert (table["name"], table["key"], table["event_time"]) == ("orders", ["id"], {"column": "ordered_at"})
    assert table["window"] == {"params": {"from": "{start_iso}", "until": "{end_iso}"}}
    assert table["columns"] == {
        "id": "int",
        "ordered_at": "timestamp",
        "amount": "number",
        "customer": "json",
        "note": "string",
    }
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [8, 8, 8]
    assert found["preview"]["failed"] == {}
    assert len(found["files"]["sources/shop.yaml"].splitlines()) <= 25


def test_a_source_that_only_lists_its_newest_rows_first_is_read_back_from_them(
    new_project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = PagedShop("header_link", filters=False)
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    assert set(table_of(found)["window"]) == {"reach"}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [8, 8, 8]


def test_a_source_that_neither_filters_nor_sorts_is_loaded_whole(
    new_project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = lambda _: rows_as_json(ORDERS[::-1])
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/orders")
    assert table_of(found)["load"] == "whole"
    assert "window" not in table_of(found)
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [len(ORDERS)]
    assert any('--window "since={start_iso}"' in note for note in found["notes"])
    shop.serve = PagedShop("single_page")
    window = ("--window", "from={start_iso}", "--window", "until={end_iso}", "--overwrite")
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/orders", *window)
    assert table_of(found)["window"] == {"params": {"from": "{start_iso}", "until": "{end_iso}"}}


def test_a_filter_by_days_is_found(new_project: Path, shop: FakeSource, run: Run) -> None:
    def serve(request: Request) -> Answer:
        first, last = request.query.get("date_from", "0"), request.query.get("date_to", "9")
        if len(first) > 10 or len(last) > 10:
            return Answer(b"no such day", 400)
        return rows_as_json([row for row in ORDERS[::-1] if first <= row["ordered_at"][:10] <= last])

    shop.serve = serve
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/orders")
    assert table_of(found)["window"] == {"params": {"date_from": "{start_date}", "date_to": "{last_date}"}}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [8, 8, 8]


def test_a_duckdb_file_is_a_database_too(new_project: Path, run: Run) -> None:
    with duckdb.connect(str(new_project / "shop.duckdb")) as database:
        database.execute(
            "create table orders as select n as id, (n * 1.5)::decimal(10, 2) as amount, timestamptz"
            " '2026-11-24 00:30:00+00' + n * interval 1 hour as ordered_at from range(96) as t (n)"
        )
    found = new(run, "shop", "--kind", "sql", "--url", "duckdb:///shop.duckdb")
    table = table_of(found)
    assert (table["name"], table["key"], table["event_time"]) == ("orders", ["id"], {"column": "ordered_at"})
    assert table["columns"] == {"id": "int", "amount": "decimal(10,2)", "ordered_at": "timestamp"}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [24, 24, 24]


def test_a_credential_comes_from_the_environment_and_goes_into_no_file(
    new_project: Path, shop: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.serve = PagedShop("page_number", secret=True)
    address = f"{shop.url}/api/orders"
    code, _, error = run("sources", "new", "shop", "--kind", "rest", "--url", address)
    assert code == 1
    assert "MILLPOND_SHOP_TOKEN" in error
    monkeypatch.setenv("MILLPOND_SHOP_TOKEN", TOKEN)
    found = new(run, "shop", "--kind", "rest", "--url", address)
    assert 'auth: { type: bearer, token: "{token}" }' in found["files"]["sources/shop.yaml"]
    assert found["written"][-1] == ".env"
    written = [new_project / path for path in found["written"]]
    assert all(TOKEN not in file.read_text() for file in written)
    assert f"MILLPOND_SHOP_URL={shop.url}/api\n" in (new_project / ".env").read_text()


def test_a_key_in_the_address_goes_to_the_environment(new_project: Path, shop: FakeSource, run: Run) -> None:
    shop.serve = PagedShop("single_page")
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/orders?api_key=s3cret&state=paid")
    auth = {"type": "api_key", "name": "api_key", "api_key": "{token}", "location": "query"}
    assert yaml.safe_load(found["files"]["sources/shop.yaml"])["rest"]["auth"] == auth
    assert table_of(found)["endpoint"]["params"] == {"state": "paid"}
    assert "s3cret" not in json.dumps(found)
    assert "MILLPOND_SHOP_TOKEN=s3cret" in (new_project / ".env").read_text()
    assert (new_project / ".env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("table", "key", "time", "kinds"),
    [
        ("invoices", ["id"], {"column": "created_at"}, {"total": "decimal(10,2)", "created_at": "timestamp"}),
        ("readings", ["sensor", "taken"], {"column": "taken", "unit": "ms"}, {"value": "number"}),
        ("countries", ["code"], None, {"code": "string", "name": "string"}),
    ],
)
def test_a_database_table_is_proposed_with_its_keys_times_and_types(
    new_project: Path, run: Run, table: str, key: list[str], time: Any, kinds: dict[str, str]
) -> None:
    url = make_database(new_project / "data" / "erp.db")
    found = new(run, "erp", "--kind", "sql", "--url", url, "--table", table, "--dry-run")
    proposed = table_of(found, "erp")
    assert (proposed["key"], proposed.get("event_time")) == (key, time)
    assert proposed.get("load") == (None if time else "whole")
    assert kinds.items() <= proposed["columns"].items()
    assert all(day["rows_loaded"] for day in found["preview"]["days"])
    assert len(found["files"]["sources/erp.yaml"].splitlines()) <= 12
    assert (found["written"], (new_project / "sources" / "erp.yaml").exists()) == ([], False)


def test_proposals_can_be_overridden_and_mistakes_name_the_choices(new_project: Path, run: Run) -> None:
    url = make_database(new_project / "data" / "erp.db")
    sql = ("erp", "--kind", "sql", "--url", url, "--dry-run")
    table = table_of(
        new(run, *sql, "--table", "invoices", "--key", "customer", "--time", "updated_at"), "erp"
    )
    assert (table["key"], table["event_time"]) == (["customer"], {"column": "updated_at"})
    for wrong, said in (
        ((), "countries, invoices, readings"),
        (("--table", "orders"), "countries, invoices, readings"),
        (("--table", "invoices", "--key", "nr"), "choose among id, customer"),
        (("--table", "invoices", "--time", "total"), "are no times"),
    ):
        code, _, error = run("sources", "new", *sql, *wrong)
        assert code == 2
        assert said in error


def test_files_that_are_there_stay_unless_one_says_so(new_project: Path, run: Run) -> None:
    url = make_database(new_project / "data" / "erp.db")
    arguments = ("erp", "--kind", "sql", "--url", url, "--table", "invoices")
    new(run, *arguments)
    file = new_project / "sources" / "erp.yaml"
    file.write_text(file.read_text() + "# mine\n")
    code, _, error = run("sources", "new", *arguments)
    assert code == 2
    assert "sources/erp.yaml is there already" in error
    assert "# mine" in file.read_text()
    new(run, *arguments, "--overwrite")
    assert "# mine" not in file.read_text()
    assert (new_project / ".env").read_text().count("MILLPOND_ERP_URL=") == 1


def test_a_second_table_is_added_to_the_source_that_is_there(new_project: Path, run: Run) -> None:
    url = make_database(new_project / "data" / "erp.db")
    sql = ("erp", "--kind", "sql", "--url", url)
    new(run, *sql, "--table", "invoices")
    file = new_project / "sources" / "erp.yaml"
    file.write_text(file.read_text() + "    description: mine\n")
    new(run, *sql, "--table", "countries")
    assert [table.name for table in read_source(file).tables] == ["invoices", "countries"]
    assert read_source(file).tables[0].description == "mine"
    code, _, error = run("sources", "new", *sql, "--table", "countries")
    assert code == 2
    assert "is there already" in error


def test_the_file_names_the_schema_beside_it_and_is_read_as_proposed(new_project: Path, run: Run) -> None:
    new(
        run,
        "erp",
        "--kind",
        "sql",
        "--url",
        make_database(new_project / "data" / "erp.db"),
        "--table",
        "invoices",
    )
    file = new_project / "sources" / "erp.yaml"
    first = file.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=source.schema.json"
    assert json.loads((file.parent / "source.schema.json").read_text())["title"] == "SourceSpec"
    assert read_source(file).tables[0].asset == "dlt_invoices"


def test_a_table_whose_name_is_taken_is_called_after_its_source(new_project: Path, run: Run) -> None:
    url = make_database(new_project / "data" / "erp.db")
    for name in ("erp", "old"):
        found = new(run, name, "--kind", "sql", "--url", url, "--table", "invoices")
    assert table_of(found, "old")["name"] == "old_invoices"
    assert table_of(found, "old")["sql"] == {"table": "invoices"}


def test_the_preview_fits_eighty_columns_and_names_the_next_commands(
    new_project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    url = make_database(new_project / "data" / "erp.db")
    code, out, error = run(
        "sources", "new", "erp", "--kind", "sql", "--url", url, "--table", "invoices", "-y"
    )
    assert code == 0, error
    preview, _, after = out.partition("\nwrote ")
    assert max(map(len, preview.splitlines())) <= 80
    assert "millpond sources check erp" in after
    assert 'millpond materialize "dlt_invoices*" --partition 2026-11-27' in after


def test_a_source_in_python_starts_as_an_example_that_loads(new_project: Path, run: Run) -> None:
    found = new(run, "feed", "--kind", "python")
    assert "sources/feed.py" in found["written"]
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [24, 24, 24]
    assert read_source(new_project / "sources" / "feed.py").kind == "python"
    assert run("sources", "check", "feed")[0] == 0


def test_a_wrong_kind_or_name_is_refused(new_project: Path, run: Run) -> None:
    for arguments, said in (
        (("shop", "--kind", "soap"), "choose among rest, file, sql, python"),
        (("my shop", "--kind", "sql"), "is not a valid identifier"),
        (("shop", "--kind", "sql"), "--url"),
        (("shop", "--kind", "rest"), "--url"),
        (("shop", "--kind", "file", "--url", "nowhere"), "there is no folder"),
    ):
        code, _, error = run("sources", "new", *arguments)
        assert code in {1, 2}
        assert said in error


def test_a_wide_table_is_loaded_with_the_types_of_its_database_though_few_lines_declare_it(
    new_project: Path, run: Run
) -> None:
    with duckdb.connect(str(new_project / "shop.duckdb")) as database:
        many = ", ".join(f"n + {each} as number_of_things_{each}" for each in range(30))
        database.execute(
            "create table orders as select n as id, (n * 1.1)::decimal(10, 2) as amount, [n, n] as tags,"
            f" timestamp '2026-11-24' + n * interval 1 hour as ordered_at, {many} from range(96) as t (n)"
        )
    found = new(run, "shop", "--kind", "sql", "--url", "duckdb:///shop.duckdb")
    assert table_of(found)["columns"] == {"id": "int", "tags": "json", "ordered_at": "timestamp"}
    assert len(found["files"]["sources/shop.yaml"].splitlines()) <= 12
    row = found["preview"]["rows"][0]
    assert (row["number_of_things_3"] - row["id"], row["tags"]) == (3, f"[{row['id']},{row['id']}]")
    model = yaml.safe_load(found["files"]["dbt/models/bronze/shop/stg_orders.yml"])["models"][0]
    kinds = {column["name"]: column["data_type"] for column in model["columns"]}
    assert (kinds["number_of_things_3"], kinds["amount"]) == ("bigint", "decimal(10,2)")
