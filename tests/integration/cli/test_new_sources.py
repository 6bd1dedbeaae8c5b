"""`millpond sources new` proposes what the system it looks at is like; `check` and `preview` show it."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from fake_source import FakeSource, fake_source, rows_as_json
from millpond.ingestion.reading import read_source
from millpond.project.create import create
from millpond.settings import Settings, settings
from paged_shop import ORDERS, TOKEN, PagedShop

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `millpond init` makes it, which is the current folder."""
    folder = create(tmp_path / "pond", "empty")
    configure(project=folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shop() -> Iterator[FakeSource]:
    with fake_source() as source:
        yield source


def new(run: Run, *arguments: str) -> Any:
    code, out, error = run("sources", "new", *arguments, "--json")
    assert code == 0, out + error
    return json.loads(out)


def table_of(found: Any, name: str = "shop") -> Any:
    return yaml.safe_load(found["files"][f"sources/{name}.yaml"])["tables"][0]


def make_database(file: Path) -> str:
    """Make a SQLite database with invoices, readings and countries; returns its address."""
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "create table invoices (id integer primary key, customer text, total numeric(10, 2),"
            " created_at timestamp not null, updated_at timestamp)"
        )
        start = dt.datetime(2026, 11, 20)
        rows = [
            (n, f"c{n % 7}" if n % 5 else None, n * 1.25, f"{start + dt.timedelta(hours=n)}")
            for n in range(192)
        ]
        database.executemany("insert into invoices values (?, ?, ?, ?, ?4)", rows)
        database.execute("create table readings (sensor text, taken integer, value real)")
        moment = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp() * 1000)
        readings = [(f"s{n % 3}", moment + n // 3 * 3_600_000, n * 0.5) for n in range(300)]
        database.executemany("insert into readings values (?, ?, ?)", readings)
        database.execute("create table countries (code text primary key, name text)")
        database.execute("insert into countries values ('de', 'Germany'), ('fr', 'France')")
    return f"sqlite:///{file}"


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
    project: Path, shop: FakeSource, run: Run, paging: str, selector: str, paginator: Any
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
    project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = PagedShop("header_link", filters=False)
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    assert set(table_of(found)["window"]) == {"reach"}
    assert [day["rows_loaded"] for day in found["preview"]["days"]] == [8, 8, 8]


def test_a_source_that_neither_filters_nor_sorts_is_refused_with_what_to_say(
    project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = lambda _: rows_as_json(ORDERS[::-1])
    code, _, error = run("sources", "new", "shop", "--kind", "rest", "--url", f"{shop.url}/orders")
    assert code == 2
    assert '--window "from={start_iso}"' in error
    assert not (project / "sources" / "shop.yaml").exists()


def test_a_credential_comes_from_the_environment_and_goes_into_no_file(
    project: Path, shop: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
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
    written = [project / path for path in found["written"]]
    assert all(TOKEN not in file.read_text() for file in written)
    assert f"MILLPOND_SHOP_URL={shop.url}/api\n" in (project / ".env").read_text()


def test_a_key_in_the_address_goes_to_the_environment(project: Path, shop: FakeSource, run: Run) -> None:
    shop.serve = PagedShop("single_page")
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/orders?api_key=s3cret&state=paid")
    auth = {"type": "api_key", "name": "api_key", "api_key": "{token}", "location": "query"}
    assert yaml.safe_load(found["files"]["sources/shop.yaml"])["rest"]["auth"] == auth
    assert table_of(found)["endpoint"]["params"] == {"state": "paid"}
    assert "s3cret" not in json.dumps(found)
    assert "MILLPOND_SHOP_TOKEN=s3cret" in (project / ".env").read_text()
    assert (project / ".env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("table", "key", "time", "kinds"),
    [
        ("invoices", ["id"], {"column": "created_at"}, {"total": "decimal(10,2)", "created_at": "timestamp"}),
        ("readings", ["sensor", "taken"], {"column": "taken", "unit": "ms"}, {"value": "number"}),
        ("countries", ["code"], None, {"code": "string", "name": "string"}),
    ],
)
def test_a_database_table_is_proposed_with_its_keys_times_and_types(
    project: Path, run: Run, table: str, key: list[str], time: Any, kinds: dict[str, str]
) -> None:
    url = make_database(project / "data" / "erp.db")
    found = new(run, "erp", "--kind", "sql", "--url", url, "--table", table, "--dry-run")
    proposed = table_of(found, "erp")
    assert (proposed["key"], proposed.get("event_time")) == (key, time)
    assert proposed.get("load") == (None if time else "whole")
    assert kinds.items() <= proposed["columns"].items()
    assert all(day["rows_loaded"] for day in found["preview"]["days"])
    assert len(found["files"]["sources/erp.yaml"].splitlines()) <= 12
    assert (found["written"], (project / "sources" / "erp.yaml").exists()) == ([], False)


def test_what_is_proposed_can_be_overridden_and_mistakes_name_the_choices(project: Path, run: Run) -> None:
    url = make_database(project / "data" / "erp.db")
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


def test_files_that_are_there_stay_unless_one_says_so(project: Path, run: Run) -> None:
    url = make_database(project / "data" / "erp.db")
    arguments = ("erp", "--kind", "sql", "--url", url, "--table", "invoices")
    new(run, *arguments)
    file = project / "sources" / "erp.yaml"
    file.write_text(file.read_text() + "# mine\n")
    code, _, error = run("sources", "new", *arguments)
    assert code == 2
    assert "sources/erp.yaml is there already" in error
    assert "# mine" in file.read_text()
    new(run, *arguments, "--overwrite")
    assert "# mine" not in file.read_text()
    assert (project / ".env").read_text().count("MILLPOND_ERP_URL=") == 1


def test_the_file_names_the_schema_beside_it_and_is_read_as_it_was_proposed(project: Path, run: Run) -> None:
    new(
        run,
        "erp",
        "--kind",
        "sql",
        "--url",
        make_database(project / "data" / "erp.db"),
        "--table",
        "invoices",
    )
    file = project / "sources" / "erp.yaml"
    first = file.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=source.schema.json"
    assert json.loads((file.parent / "source.schema.json").read_text())["title"] == "SourceSpec"
    assert read_source(file).tables[0].asset == "dlt_invoices"


def test_a_table_whose_name_is_taken_is_called_after_its_source(project: Path, run: Run) -> None:
    url = make_database(project / "data" / "erp.db")
    for name in ("erp", "old"):
        found = new(run, name, "--kind", "sql", "--url", url, "--table", "invoices")
    assert table_of(found, "old")["name"] == "old_invoices"
    assert table_of(found, "old")["sql"] == {"table": "invoices"}


def test_the_preview_fits_eighty_columns_and_names_the_next_commands(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    url = make_database(project / "data" / "erp.db")
    code, out, error = run(
        "sources", "new", "erp", "--kind", "sql", "--url", url, "--table", "invoices", "-y"
    )
    assert code == 0, error
    preview, _, after = out.partition("\nwrote ")
    assert max(map(len, preview.splitlines())) <= 80
    assert "millpond sources check erp" in after
    assert 'millpond materialize "dlt_invoices*" --partition 2026-11-27' in after


def test_check_names_the_step_that_fails_and_what_to_do(
    project: Path, shop: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.serve = PagedShop("page_number")
    new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    file = project / "sources" / "shop.yaml"
    good = file.read_text()

    def failed() -> tuple[int, str, str]:
        code, out, error = run("sources", "check", "shop", "--day", "2026-11-20", "--json")
        assert error == ""
        steps = json.loads(out)
        bad = [step for step in steps if step["state"] == "failed"]
        assert all(
            step["state"] == "skipped" for step in steps[len(steps) if not bad else steps.index(bad[0]) + 1 :]
        )
        return (code, bad[0]["name"], bad[0]["next_step"]) if bad else (code, "", "")

    assert failed() == (0, "", "")
    file.write_text(good.replace("key: [id]", "keys: [id]"))
    assert failed()[:2] == (1, "spec")
    file.write_text(good.replace("amount: number", "amuont: number"))
    assert failed()[:2] == (1, "shape")
    assert "did you mean amount?" in failed()[2]
    file.write_text(good.replace("amount: number", "amount: { type: number, max: 5, on_bad: quarantine }"))
    assert failed()[:2] == (1, "contract")
    file.write_text(good)
    shop.serve = PagedShop("page_number", secret=True)
    assert failed()[:2] == (1, "authorised")
    assert "MILLPOND_SHOP_TOKEN" in failed()[2]
    shop.serve = lambda _: rows_as_json(["nothing", "like", "rows"])
    assert failed()[:2] == (1, "shape")
    (project / ".env").write_text("MILLPOND_SHOP_URL=http://127.0.0.1:1\n")
    settings.cache_clear()
    assert failed()[:2] == (1, "reachable")
    (project / ".env").write_text("")
    settings.cache_clear()
    assert failed()[:2] == (1, "address")


def test_check_and_preview_write_nothing_and_count_what_a_load_would(
    project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = PagedShop("single_page")
    new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    bad = [ORDERS[0] | {"id": None}, ORDERS[1] | {"amount": "many"}, ORDERS[2], ORDERS[2]]
    shop.serve = lambda _: rows_as_json(bad)
    code, out, error = run("sources", "preview", "shop", "--day", "2026-11-27", "--json")
    assert code == 0, out + error
    found = json.loads(out)
    (day,) = found["days"]
    assert (code, day["rows_loaded"], day["rows_quarantined"]) == (0, 2, 1)
    assert (day["duplicates_dropped"], day["values_nulled"]) == (1, 1)
    assert [row["id"] for row in found["rows"]] == [1, 2]
    assert found["quarantined"][0]["reason"] == "id is missing"
    assert "id is missing" in run("sources", "preview", "shop", "--day", "2026-11-27", "--quarantined")[1]
    assert not (project / ".millpond" / "warehouse").exists()
    code, _, error = run("sources", "preview", "orderz")
    assert code == 2
    assert "did you mean orders" in error
