"""The REST catalog answers as the Iceberg specification says, also when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import requests
from pyiceberg.catalog.rest import RestCatalog

import rest_endpoint as rest
from lake_readings import days, found, rows, spec, write
from millpond.errors import RefNotFound
from millpond.lake import pins, read, refs
from millpond.lake.connect import borrow_connection
from millpond.lake.tables import Replacement, replace

pytestmark = pytest.mark.usefixtures("home")

_SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "n", "type": "long", "required": False}]}
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask() -> Ask:
    """Return a function that sends a request to the catalog, with its token."""
    endpoint = rest.serve()

    def send(method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {endpoint.token.get_secret_value()}"}
        return requests.request(
            method,
            f"{endpoint.uri}/v1/{path}",
            **{"headers": headers, "json": body, "timeout": 30, **options},
        )

    return send


def _told(response: requests.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error["type"]


def _client(warehouse: str) -> RestCatalog:
    endpoint = rest.serve()
    return RestCatalog("test", uri=endpoint.uri, token=endpoint.token.get_secret_value(), warehouse=warehouse)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
@pytest.mark.parametrize("path", ["config", "main/namespaces", "main/namespaces/raw/tables/readings"])
def test_nothing_is_answered_without_the_token(ask: Ask, headers: dict[str, str], path: str) -> None:
    assert _told(ask("GET", path, headers=headers)) == (401, "NotAuthorizedException")


def test_a_warehouse_is_a_ref(ask: Ask) -> None:
    refs.create("dev")
    write({0: [1]}, ref="dev")
    assert ask("GET", "config", params={"warehouse": "dev"}).json()["overrides"] == {"prefix": "dev"}
    assert ask("GET", "dev/namespaces/raw/tables").json()["identifiers"] == [
        {"namespace": ["raw"], "name": "readings"}
    ]
    assert ask("GET", "main/namespaces/raw/tables").json()["identifiers"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "config?warehouse=gone"),
        ("GET", "gone/namespaces"),
        ("GET", "gone/namespaces/raw"),
        ("GET", "gone/namespaces/raw/tables"),
        ("GET", "gone/namespaces/raw/tables/readings"),
        ("POST", "gone/namespaces/raw/tables/readings"),
        ("GET", "main@0123456789ab/namespaces"),
    ],
)
def test_an_unknown_ref_is_not_found(ask: Ask, method: str, path: str) -> None:
    assert _told(ask(method, path, {} if method == "POST" else None)) == (404, "NoSuchWarehouseException")


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("GET", "main/namespaces/raw/tables/gone", None, (404, "NoSuchTableException")),
        ("DELETE", "main/namespaces/raw/tables/gone", None, (404, "NoSuchTableException")),
        (
            "POST",
            "main/namespaces/raw/tables/gone",
            {"requirements": [], "updates": []},
            (404, "NoSuchTableException"),
        ),
        ("GET", "main/namespaces/gone", None, (404, "NoSuchNamespaceException")),
        ("GET", "main/namespaces/gone/tables", None, (404, "NoSuchNamespaceException")),
        (
            "POST",
            "main/namespaces/gone/tables",
            {"name": "t", "schema": _SCHEMA},
            (404, "NoSuchNamespaceException"),
        ),
        ("DELETE", "main/namespaces/raw", None, (409, "NamespaceNotEmptyException")),
        ("POST", "main/namespaces", {"namespace": ["raw"]}, (409, "AlreadyExistsException")),
        (
            "POST",
            "main/namespaces/raw/tables",
            {"name": "readings", "schema": _SCHEMA},
            (409, "AlreadyExistsException"),
        ),
        (
            "POST",
            "main/tables/rename",
            {
                "source": {"namespace": ["raw"], "name": "readings"},
                "destination": {"namespace": ["gone"], "name": "x"},
            },
            (404, "NoSuchNamespaceException"),
        ),
        (
            "POST",
            "main/tables/rename",
            {
                "source": {"namespace": ["raw"], "name": "readings"},
                "destination": {"namespace": ["raw"], "name": "others"},
            },
            (409, "AlreadyExistsException"),
        ),
        (
            "POST",
            "main/namespaces/raw/tables/readings",
            {"requirements": [{"type": "assert-table-uuid", "uuid": "0" * 32}], "updates": []},
            (409, "CommitFailedException"),
        ),
        (
            "POST",
            "main/namespaces/raw/tables/readings",
            {"requirements": [{"type": "assert-create"}], "updates": []},
            (409, "CommitFailedException"),
        ),
    ],
)
def test_errors_have_the_status_and_type_of_the_specification(
    ask: Ask, method: str, path: str, body: Any, told: tuple[int, str]
) -> None:
    for table in ("raw.readings", "raw.others"):
        write({0: [1]}, table=spec(table))
    assert _told(ask(method, path, body)) == told
    assert found() == found("raw.others") == {0: [1]}


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("main/namespaces", b"not json"),
        ("main/namespaces", b"[]"),
        ("main/namespaces", b"{}"),
        ("main/namespaces", b'{"namespace": 5}'),
        ("main/namespaces/raw/tables", b'{"name": "t"}'),
        ("main/namespaces/raw/tables", b'{"name": "t", "schema": {"type": "list"}}'),
        ("main/namespaces/raw/tables/readings", b'{"updates": [{"action": "no-such-action"}]}'),
        ("main/namespaces/raw/tables/readings", b'{"requirements": "all"}'),
        ("main/tables/rename", b'{"source": {}}'),
        ("main/transactions/commit", b'{"table-changes": [{}]}'),
    ],
)
def test_a_malformed_request_is_bad_not_a_failure_of_the_server(ask: Ask, path: str, data: bytes) -> None:
    write({0: [1]})
    assert _told(ask("POST", path, data=data)) == (400, "BadRequestException")


def test_a_pinned_warehouse_shows_one_moment_and_takes_no_writes(ask: Ask) -> None:
    write({0: [1]})
    with pins.hold_pin("main") as pin:
        write({0: [2]})
        pinned = _client(pin.name).load_table("raw.readings").scan().to_arrow()
        assert pinned["value"].to_pylist() == [1]
        for method, path in (("POST", ""), ("DELETE", "/readings"), ("POST", "/readings")):
            answer = ask(method, f"{pin.name}/namespaces/raw/tables{path}", {} if method == "POST" else None)
            assert _told(answer) == (403, "ForbiddenException")
    assert found() == {0: [2]}
    assert _told(ask("GET", f"{pin.name}/namespaces")) == (404, "NoSuchWarehouseException")
    with pytest.raises(RefNotFound, match="released or has expired"):
        pins.get_pin(pin.name)


def test_pyiceberg_writes_through_it_and_the_ref_log_tells() -> None:
    client = _client("main")
    client.create_namespace_if_not_exists("gold")
    table = client.create_table("gold.numbers", pa.schema([("n", pa.int64())]))
    table.append(pa.table({"n": [1, 2]}))
    assert read.scan("main", "gold.numbers")["n"].to_pylist() == [1, 2]
    with borrow_connection() as conn:
        log = conn.execute(
            "select action, table_namespace || '.' || table_name from lake_ref_log order by id"
        )
        assert log.fetchall() == [("create", "gold.numbers"), ("commit", "gold.numbers")]
    client.rename_table("gold.numbers", "gold.figures")
    assert read.list_tables("main") == ["gold.figures"]
    client.drop_table("gold.figures")
    assert read.list_tables("main") == []


def test_a_commit_on_an_outdated_snapshot_is_refused(ask: Ask) -> None:
    write({0: [1]})
    stale = _client("main").load_table("raw.readings")
    write({0: [2]})
    change = {
        "requirements": [
            {
                "type": "assert-ref-snapshot-id",
                "ref": "main",
                "snapshot-id": stale.metadata.current_snapshot_id,
            }
        ],
        "updates": [{"action": "set-properties", "updates": {"a": "b"}}],
    }
    answer = ask("POST", "main/namespaces/raw/tables/readings", change)
    assert _told(answer) == (409, "CommitFailedException")
    assert "a" not in read.load_table("main", "raw.readings").properties


def test_several_tables_are_committed_together_or_not_at_all(ask: Ask) -> None:
    for table in ("raw.readings", "raw.others"):
        write({0: [1]}, table=spec(table))

    def change(name: str, *requirements: Any) -> dict[str, Any]:
        return {
            "identifier": {"namespace": ["raw"], "name": name},
            "requirements": requirements,
            "updates": [{"action": "set-properties", "updates": {"seen": "yes"}}],
        }

    wrong = {"type": "assert-table-uuid", "uuid": "0" * 32}
    body = {"table-changes": [change("readings"), change("others", wrong)]}
    assert _told(ask("POST", "main/transactions/commit", body)) == (409, "CommitFailedException")
    assert "seen" not in read.load_table("main", "raw.readings").properties
    body = {"table-changes": [change("readings"), change("others")]}
    assert ask("POST", "main/transactions/commit", body).status_code == 204
    assert {read.load_table("main", f"raw.{n}").properties["seen"] for n in ("readings", "others")} == {"yes"}


def test_no_answer_holds_the_token_or_a_password(ask: Ask) -> None:
    write({0: [1]})
    token = rest.serve().token.get_secret_value()
    for path in ("config", "main/namespaces", "main/namespaces/raw/tables/readings", "gone/namespaces"):
        text = ask("GET", path).text
        assert token not in text
        assert "postgresql" not in text
    assert token not in json.dumps(repr(rest.serve()))


def test_a_table_created_by_a_client_is_replaced_like_any_other() -> None:
    client = _client("main")
    client.create_table("raw.readings", rows({}).schema)
    replace([Replacement(spec(), rows({0: [1], 1: [2]}), days(0, 1))], ref="main", run_id="run")
    write({1: [20]})
    assert found() == {0: [1], 1: [20]}


def test_a_duckdb_of_others_sees_and_makes_changes_on_its_ref() -> None:
    write({0: [1]})
    refs.create("dev")
    with rest.attached("dev") as connection:
        write({0: [2]}, ref="dev")
        assert connection.execute("select value from raw.readings").fetchall() == [(2,)]
        connection.execute("create table gold.doubled as select value * 2 as value from raw.readings")
        connection.execute("insert into gold.doubled values (7)")
        connection.execute("update gold.doubled set value = 8 where value = 7")
        connection.execute("delete from gold.doubled where value = 4")
        connection.execute("alter table gold.doubled add column note varchar")
    assert read.scan("dev", "gold.doubled").to_pylist() == [{"value": 8, "note": None}]
    assert read.list_tables("main") == ["raw.readings"]
    refs.merge("dev")
    assert read.scan("main", "gold.doubled").to_pylist() == [{"value": 8, "note": None}]


def test_a_transaction_over_two_tables_is_seen_whole() -> None:
    for name in ("raw.readings", "raw.others"):
        write({0: [1]}, table=spec(name))
    with rest.attached() as connection:
        connection.execute("begin")
        for name in ("readings", "others"):
            connection.execute(f"update raw.{name} set value = 2, reading_id = '0-2'")
        assert found() == found("raw.others") == {0: [1]}
        connection.execute("commit")
    assert found() == found("raw.others") == {0: [2]}


def test_a_dropped_ref_is_an_error_not_an_empty_lake() -> None:
    write({0: [1]})
    refs.create("dev")
    with rest.attached("dev") as connection:
        refs.drop("dev")
        for table in ("raw.readings", "lake.raw.readings"):
            with pytest.raises(duckdb.Error, match=r'Table with name .*raw\.readings" does not exist'):
                connection.execute(f"select * from {table}")
