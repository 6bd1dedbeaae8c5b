"""`millpond restore --from-warehouse`: Postgres is gone, and the files of the warehouse are left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from emptied_home import empty
from lake_readings import found, write
from millpond.backup.create import back_up
from millpond.backup.own_servers import restore_to_servers
from millpond.backup.rebuild import rebuild_catalog
from millpond.backup.record import read_list
from millpond.errors import BackupRefused
from millpond.lake import refs
from millpond.lake.catalog import LakeCatalog
from millpond.lake.pointer_file import NAME, read_saved_pointers
from millpond.lake.views import change_view, create_view, drop_view, find_view
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from rest_endpoint import describe_view


@pytest.fixture
def lose(home: Home) -> Callable[[], None]:
    """A function that takes all rows from Postgres, and leaves the warehouse."""

    def lost() -> None:
        server = find_server(home)
        assert server
        connections: dict[tuple[object, str], psycopg.Connection] = {}
        empty(home, server, connections)
        for connection in connections.values():
            connection.close()

    return lost


def _make_updates(sql: str) -> list[dict[str, object]]:
    field = {"id": 1, "name": "n", "type": "int", "required": False}
    return [
        {"action": "add-schema", "schema": {"type": "struct", "schema-id": 0, "fields": [field]}},
        {"action": "add-view-version", "view-version": describe_view(sql)},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]


def test_main_gets_what_its_last_commit_had_and_nothing_of_a_branch_that_was_not_merged(
    home: Home, lose: Callable[[], None]
) -> None:
    write({0: [1]})
    for name in ("merged", "open"):
        refs.create(name)
    write({1: [2]}, ref="merged")
    write({0: [3]}, ref="open")
    refs.merge("merged")
    views = LakeCatalog("main")
    create_view(views, "gold.shown", _make_updates("select 1"))
    shown, _ = change_view(views, "gold.shown", [], _make_updates("select 2"))
    create_view(views, "gold.dropped", _make_updates("select 3"))
    drop_view(views, "gold.dropped")
    lose()
    again: list[str] = []
    rebuilt = rebuild_catalog(again.append)
    assert (rebuilt.guessed, rebuilt.missing, found()) == ([], [], {0: [1], 1: [2]})
    assert rebuilt.views == {"gold.shown": shown}
    assert find_view(LakeCatalog("main"), "gold.shown") == shown
    assert rebuild_catalog(again.append) == rebuilt  # repeated, as after an interruption
    write({2: [4]})
    assert found() == {0: [1], 1: [2], 2: [4]}
    with pytest.raises(BackupRefused, match="is not lost"):
        rebuild_catalog(again.append)


def test_without_the_file_of_pointers_the_newest_version_is_taken_and_named(
    home: Home, lose: Callable[[], None]
) -> None:
    write({0: [1]})
    write({0: [2]})
    (home.warehouse / NAME).write_text("{broken")
    (broken := next(home.warehouse.rglob("00000-*.metadata.json"))).write_text(broken.read_text()[:100])
    lose()
    assert rebuild_catalog(lambda _: None).guessed == ["raw.readings"]
    assert found() == {0: [2]}


def test_a_warehouse_without_tables_is_refused(home: Home, lose: Callable[[], None]) -> None:
    with pytest.raises(BackupRefused, match="no tables"):
        rebuild_catalog(lambda _: None)


def test_the_file_follows_each_commit_of_main_and_none_of_a_branch(home: Home) -> None:
    write({0: [1]})
    before = read_saved_pointers(home.warehouse)
    refs.create("dev")
    write({0: [2]}, ref="dev")
    assert read_saved_pointers(home.warehouse) == before
    refs.merge("dev")
    after = read_saved_pointers(home.warehouse)
    assert (before != after, json.loads((home.warehouse / NAME).read_text())) == (True, after)


@pytest.mark.slow
def test_own_servers_that_are_provisioned_and_empty_are_filled_and_others_refused(
    home: Home, lose: Callable[[], None], tmp_path: Path
) -> None:
    """By the roles of the profile scale, on the Postgres of this process."""
    write({0: [1]})
    record = back_up(tmp_path / "backup", with_data=False, report=lambda _: None).record
    files = read_list(tmp_path / "backup", record)
    with pytest.raises(BackupRefused, match="iceberg_tables has rows"):
        restore_to_servers(tmp_path / "backup", record, files, lambda _: None)
    lose()
    assert restore_to_servers(tmp_path / "backup", record, files, lambda _: None) == []
    assert found() == {0: [1]}
    write({1: [2]})
    assert found() == {0: [1], 1: [2]}
