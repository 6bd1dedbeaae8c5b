"""Small dbt projects of one feature each come out on Trino as on DuckDB, or are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import installed
from servers.stack import Stack

from column_changes import live_through_column_changes
from corpus_builds import FEATURES, build_feature
from millpond.lake import read, trino
from millpond.lake.retirement import retire
from millpond.settings import settings
from small_projects import Write, built, write_files
from snapshot_histories import FILES, T1, T2, history, snapshot

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:invalid escape sequence"),  # in a macro of dbt-trino
]


@pytest.fixture(scope="module")
def lake(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(servers, tmp_path_factory.mktemp("scale") / "home"):
        yield


@pytest.fixture
def write_project(lake: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Write]:
    """Return a function that makes a dbt project of files the one in use, with the platform's macros.

    No table is left to the next test: features may use one name for a table each.
    """

    def written(files: dict[str, str]) -> None:
        write_files(tmp_path, files)
        monkeypatch.setenv("MILLPOND_PROJECT", str(tmp_path))
        settings.cache_clear()

    yield written
    for table in read.list_tables("main"):
        retire(table, ref="main")
    settings.cache_clear()


@pytest.mark.parametrize("feature", [name for name in FEATURES if "not_on_trino" not in FEATURES[name]])
def test_a_build_of_a_feature_comes_out_as_on_duckdb(feature: str, write_project: Write) -> None:
    build_feature(FEATURES[feature], write_project)


def test_failures_that_are_to_be_stored_are_refused_by_name(write_project: Write) -> None:
    write_project(FEATURES["stored_failures"]["files"])
    result, _ = built(["orders"])
    assert len(result.checks) == len(FEATURES["stored_failures"]["results"])
    for check in result.checks:
        assert "store_failures is not supported on Trino" in check.message


def test_what_hooks_of_a_failed_build_dropped_is_still_on_main(write_project: Write) -> None:
    orders = "{{{{ config(post_hook={hooks}) }}}} select 1 as id"
    write_project(
        {"models/silver/orders.sql": orders.format(hooks=["create table gold.kept as select 1 as n"])}
    )
    assert built(["orders"])[0].merged
    hooks = ["drop table lake.gold.kept", "call lake.system.unregister_table('gold', 'kept')"]
    write_project({"models/silver/orders.sql": orders.format(hooks=hooks)})
    result, text = built(["orders"])
    assert not result.merged
    assert "not run by a hook or macro: `call lake.system" in text
    assert not read.exists(result.branch, "gold.kept")
    assert trino.run_query("select n from lake.gold.kept", "main")[1] == [[1]]


def test_columns_that_change_are_treated_as_on_duckdb_until_a_full_refresh(write_project: Write) -> None:
    live_through_column_changes(write_project)


def test_snapshots_keep_what_they_keep_on_duckdb(write_project: Write) -> None:
    write_project(FILES)
    snapshot((1, "a", T1), (2, "b", T1))
    again = snapshot((1, "a", T1), (2, "b", T1))
    # With hard_deletes dbt gives the times a zone here, once.
    assert {model.model for model in again.models if model.written.changed} == {"ended", "recorded"}
    snapshot((1, "A", T2), (3, "c", T2))
    changed = {"1 a ended", "1 A now", "3 c now"}
    assert history("kept") == history("checked") == history("renamed") == changed | {"2 b now"}
    assert history("ended") == changed | {"2 b ended"}
    assert history("recorded") == changed | {"2 b ended", "2 b deleted now"}
