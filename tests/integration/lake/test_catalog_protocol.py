"""The REST catalog's views, pages, tokens and answers, for the clients that other tests do not have."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import requests
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError

import rest_endpoint as rest
from lake_readings import found, spec, write
from millpond.lake import read, refs, tokens
from millpond.lake.history import plan_undo, undo
from millpond.lake.housekeeping import remove_orphans
from millpond.lake.layout import list_maintained
from millpond.lake.ref_log import list_commits
from millpond.lake.rest_app import build_app
from millpond.runtime.extensions import open_duckdb
from millpond.runtime.home import Home
from served_app import serving

pytestmark = pytest.mark.usefixtures("home")

Ask = Callable[..., requests.Response]
_FIELDS = [{"id": 1, "name": "n", "type": "long", "required": False}]
_PAGE = Path(__file__).resolve().parents[3] / "docs" / "catalog.md"
_HOUR = dt.timedelta(hours=1)


def _view(name: str, sql: str = "select 1 as n") -> dict[str, Any]:
    schema = {"type": "struct", "schema-id": 0, "fields": _FIELDS}
    return {"name": name, "schema": schema, "view-version": rest.describe_view(sql), "properties": {}}


def _replacement(sql: str) -> dict[str, Any]:
    added = {"action": "add-view-version", "view-version": rest.describe_view(sql)}
    return {"updates": [added, {"action": "set-current-view-version", "view-version-id": -1}]}


@pytest.fixture
def ask() -> Ask:
    """Return a function that sends a request to the catalog; with `token`, another than that of the home."""
    endpoint = rest.serve()

    def send(method: str, path: str, body: Any = None, token: str = "", **options: Any) -> requests.Response:
        text = token or endpoint.token.get_secret_value()
        headers = {"Authorization": f"Bearer {text}", **options.pop("headers", {})}
        return requests.request(
            method, f"{endpoint.uri}/v1/{path}", headers=headers, json=body, timeout=30, **options
        )

    return send


def _sql_of(ask: Ask, ref: str, view: str = "v") -> list[str]:
    metadata = ask("GET", f"{ref}/namespaces/gold/views/{view}").json()["metadata"]
    (version,) = (v for v in metadata["versions"] if v["version-id"] == metadata["current-version-id"])
    return [r["sql"] for r in version["representations"]]


def test_views_are_copied_by_branches_moved_by_merges_and_taken_back_by_undos(ask: Ask) -> None:
    write({0: [1]})
    assert ask("POST", "main/namespaces/gold/views", _view("v")).status_code == 200
    refs.create("dev")
    assert ask("POST", "dev/namespaces/gold/views/v", _replacement("select 2 as n")).status_code == 200
    assert ask("POST", "dev/namespaces/gold/views", _view("w")).status_code == 200
    assert [d.table for d in refs.diff("dev")] == ["gold.v", "gold.w"]
    assert [table for _, table, _ in list_maintained()] == ["raw.readings"]
    assert (_sql_of(ask, "main"), _sql_of(ask, "dev")) == (["select 1 as n"], ["select 2 as n"])
    refs.merge("dev")
    assert _sql_of(ask, "main") == ["select 2 as n"]
    merged = list_commits("main")[0]
    assert {(m.table, m.kind) for m in merged.moves} == {("gold.v", "VIEW"), ("gold.w", "VIEW")}
    undo(plan_undo("main", merged.id))
    assert _sql_of(ask, "main") == ["select 1 as n"]
    assert ask("HEAD", "main/namespaces/gold/views/w").status_code == 404
    assert read.list_tables("main") == ["raw.readings"]
    remove_orphans(dt.timedelta(0))
    assert _sql_of(ask, "main") == ["select 1 as n"]


def test_a_table_and_a_view_do_not_share_a_name(ask: Ask) -> None:
    write({0: [1]}, table=spec("gold.t"))
    answer = ask("POST", "main/namespaces/gold/views", _view("t"))
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "AlreadyExistsException")
    assert ask("GET", "main/namespaces/gold/views/t").status_code == 404
    ask("POST", "main/namespaces/gold/views", _view("v"))
    schema = {"type": "struct", "fields": _FIELDS}
    assert ask("POST", "main/namespaces/gold/tables", {"name": "v", "schema": schema}).status_code == 409
    assert ask("GET", "main/namespaces/gold/tables/v").status_code == 404


def test_pages_are_as_long_as_asked_and_list_each_name_once(ask: Ask) -> None:
    for name in ("a", "b", "c"):
        ask("POST", "main/namespaces/gold/views", _view(name))
    seen: list[str] = []
    page: dict[str, str] = {"pageSize": "2", "pageToken": ""}
    while page:
        answer = ask("GET", "main/namespaces/gold/views", params=page).json()
        names = [i["name"] for i in answer["identifiers"]]
        assert len(names) <= 2
        seen += names
        following = answer.get("next-page-token")
        page = {"pageSize": "2", "pageToken": following} if following else {}
    assert seen == ["a", "b", "c"]
    assert ask("GET", "main/namespaces", params={"pageSize": "none"}).status_code == 400


def test_a_client_that_has_the_table_already_gets_no_body_until_it_changes(ask: Ask) -> None:
    write({0: [1]})
    path = "main/namespaces/raw/tables/readings"
    tag = ask("GET", path).headers["ETag"]
    again = ask("GET", path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    write({0: [2]})
    assert ask("GET", path, headers={"If-None-Match": tag}).status_code == 200
    every, needed = (ask("GET", path, params={"snapshots": s}).json()["metadata"] for s in ("all", "refs"))
    assert len(every["snapshots"]) > len(needed["snapshots"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "main/namespaces/gold/properties", {"updates": {"a": "1"}, "removals": ["a"]}, 422),
        ("POST", "main/namespaces", {"namespace": ["a.b"]}, 400),
        ("POST", "main/namespaces/gold/functions", {}, 404),
        ("POST", "main/namespaces/raw/tables/not-yet/metrics", {}, 204),
        ("POST", "gone/namespaces/raw/tables/readings/metrics", {}, 404),
        ("HEAD", "main/namespaces/gone", None, 404),
        ("POST", "main/namespaces/gold/views", {"name": "v"}, 400),
    ],
)
def test_answers_have_the_status_of_the_specification(
    ask: Ask, method: str, path: str, body: Any, status: int
) -> None:
    assert ask(method, path, body).status_code == status


def test_names_may_have_spaces_and_letters_of_any_language_and_namespaces_others_within(ask: Ask) -> None:
    for name in (["größe n"], ["größe n", "δ"]):
        assert ask("POST", "main/namespaces", {"namespace": name}).status_code == 200
    schema = {"type": "struct", "fields": _FIELDS}
    path = "main/namespaces/gr%C3%B6%C3%9Fe%20n%1F%CE%B4"
    created = ask("POST", f"{path}/tables", {"name": "zahl 1", "schema": schema})
    assert created.status_code == 200, created.text
    assert ask("GET", f"{path}/tables/zahl%201").status_code == 200
    nested = ask("GET", "main/namespaces", params={"parent": "größe n"}).json()["namespaces"]
    assert nested == [["größe n", "δ"]]
    told = ask("GET", path).json()["properties"]
    assert created.json()["metadata"]["location"].startswith(f"{told['location']}/")
    asked = {"updates": {"location": "s3://of/its/own"}}
    assert ask("POST", f"{path}/properties", asked).status_code == 200
    assert ask("GET", path).json()["properties"]["location"] == "s3://of/its/own"


def test_a_token_does_what_it_is_for_until_it_is_revoked_or_expires(ask: Ask) -> None:
    write({0: [1]})
    refs.create("dev")
    granted, secret = tokens.issue("write", _HOUR, ref="dev", namespace="gold", name="spark")
    text = secret.get_secret_value()
    assert ask("GET", "config", token=text).json()["overrides"] == {"prefix": "dev"}
    assert ask("POST", "dev/namespaces/gold/views", _view("v"), token=text).status_code == 200
    assert list_commits("dev")[0].client.endswith("(token spark)")
    assert ask("GET", "dev/namespaces", token=text).json()["namespaces"] == [["gold"]]
    for method, path, body in (
        ("GET", "config?warehouse=main", None),
        ("GET", "main/namespaces/gold/tables", None),
        ("GET", "dev/namespaces/raw/tables/readings", None),
        ("POST", "dev/namespaces", {"namespace": ["silver"]}),
        (
            "POST",
            "dev/tables/rename",
            {
                "source": {"namespace": ["raw"], "name": "readings"},
                "destination": {"namespace": ["gold"], "name": "x"},
            },
        ),
        (
            "POST",
            "dev/transactions/commit",
            {"table-changes": [{"identifier": {"namespace": ["raw"], "name": "readings"}}]},
        ),
    ):
        assert ask(method, path, body, token=text).status_code == 403, path
    tokens.revoke(granted.id)
    assert ask("GET", "config", token=text).status_code == 401
    _, expired = tokens.issue("read", dt.timedelta(microseconds=1))
    assert ask("GET", "config", token=expired.get_secret_value()).status_code == 401
    assert ask("GET", "config", token=f"{text[:-1]}x").status_code == 401
    assert found() == {0: [1]}


def test_a_client_exchanges_its_credential_for_a_token_that_ends_with_it(ask: Ask) -> None:
    write({0: [1]})
    granted, secret = tokens.issue("read", _HOUR)
    credential = f"{granted.id}:{secret.get_secret_value().split('_', 2)[2]}"
    uri = rest.serve().uri
    server = {"oauth2-server-uri": f"{uri}/v1/oauth/tokens"}
    client = RestCatalog("test", uri=uri, credential=credential, warehouse="main", **server)
    assert client.load_table("raw.readings").scan().to_arrow()["value"].to_pylist() == [1]
    with pytest.raises(ForbiddenError, match="read-only"):
        client.drop_table("raw.readings")
    asked = {"grant_type": "client_credentials", "client_id": granted.id, "client_secret": "wrong"}
    refused = requests.post(f"{rest.serve().uri}/v1/oauth/tokens", data=asked, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    asked |= {"client_secret": credential.partition(":")[2], "scope": "write"}
    refused = requests.post(f"{rest.serve().uri}/v1/oauth/tokens", data=asked, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    asked["scope"] = "catalog"
    session = requests.post(f"{rest.serve().uri}/v1/oauth/tokens", data=asked, timeout=30).json()
    assert (session["scope"], session["token_type"]) == ("read", "bearer")
    assert 0 < session["expires_in"] <= _HOUR.total_seconds()
    assert ask("GET", "config", token=session["access_token"]).status_code == 200
    tokens.revoke(granted.id)
    assert ask("GET", "config", token=session["access_token"]).status_code == 401


def test_a_catalog_that_is_served_read_only_refuses_tokens_that_write() -> None:
    write({0: [1]})
    _, secret = tokens.issue("write", _HOUR)
    headers = {"Authorization": f"Bearer {secret.get_secret_value()}"}
    with serving(build_app(writes=False)) as uri:
        path = f"{uri}/v1/main/namespaces/raw/tables/readings"
        assert requests.get(path, headers=headers, timeout=30).status_code == 200
        answer = requests.delete(path, headers=headers, timeout=30)
        assert (answer.status_code, "catalog serve --write" in answer.text) == (403, True)
    assert found() == {0: [1]}


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        yield connection


def test_the_clients_of_the_documentation_write_a_branch_and_millpond_reads_it(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    refs.create("dev")
    endpoint = rest.serve()
    env = {"catalog_uri": endpoint.uri, "catalog_token": endpoint.token.get_secret_value()}
    names: dict[str, Any] = {"env": env, "duck": duck, "pa": pa}
    for block in re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL):
        exec(block, names)
    assert sorted(read.scan("dev", "gold.numbers")["n"].to_pylist()) == [1, 2, 3, 4]
    assert [c.client.split("/")[0] for c in list_commits("dev")] != [""]
    assert read.list_tables("main") == []


def test_no_name_and_no_location_leads_out_of_its_folder(ask: Ask, home: Home) -> None:
    schema = {"type": "struct", "schema-id": 0, "fields": _FIELDS}
    warehouse = f"file://{home.warehouse}"
    for namespace in ("..", "a/../.."):
        assert ask("POST", "main/namespaces", {"namespace": [namespace]}).status_code == 400, namespace
    assert ask("GET", "..%2F..%2Fmain/namespaces").status_code == 404
    assert ask("GET", "main/namespaces/gold/tables/..%2F..%2Fsecret").status_code in (400, 404)
    tables = "main/namespaces/gold/tables"
    outside = f"{warehouse}/gold/../../stolen"
    for more in (
        {"location": outside},
        {"properties": {"write.metadata.path": outside}},
        {"location": outside, "stage-create": True},
    ):
        assert ask("POST", tables, {"name": "t", "schema": schema, **more}).status_code == 400, more
    assert ask("POST", tables, {"name": "t", "schema": schema}).status_code == 200
    made = ask("GET", f"{tables}/t").json()
    moved = {"requirements": [], "updates": [{"action": "set-location", "location": outside}]}
    assert ask("POST", f"{tables}/t", moved).status_code == 400
    at = made["metadata-location"].replace("/gold/", "/gold/../gold/")
    registered = {"name": "u", "metadata-location": at}
    assert ask("POST", "main/namespaces/gold/register", registered).status_code == 400
    assert not (home.root / "stolen").exists()
