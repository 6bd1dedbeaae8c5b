"""A cluster is made in any folder, also after a process that was killed while it made one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from embedded_server import SHOW_SERVER, answers, run_python, server_of

from millpond.errors import EmbeddedPartError
from millpond.runtime.databases import databases
from millpond.runtime.down import down
from millpond.runtime.home import Home
from millpond.runtime.postmaster import data_folder
from millpond.settings import process_environment, settings


def test_a_home_too_deep_for_a_socket_works(fresh_home: Callable[..., Home], tmp_path: Path) -> None:
    deep = tmp_path / ("deep " * 10).strip() / "it's \\ a, $HOME" / ("x" * 80)
    home = fresh_home(deep)
    assert answers()
    sockets = server_of(home).sockets
    assert len(os.fsencode(sockets)) < 80
    down(settings())
    assert not sockets.exists()


def test_a_failed_start_shows_the_end_of_the_servers_log(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    assert answers()
    down(settings())
    control = data_folder(home) / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    with pytest.raises(EmbeddedPartError, match="pg_control") as failed:
        databases()
    assert str(home.logs / "postgres.log") in failed.value.next_step
    control.with_suffix(".away").rename(control)
    assert answers()
    down(settings())
    (data_folder(home) / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPartError, match="created by Postgres 17"):
        databases()


def test_a_half_made_cluster_of_a_killed_process_is_replaced(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    (home.postgres / "data.new").mkdir()
    (home.postgres / "data.new" / "rubbish").touch()
    (home.postgres / "initial_password").touch()
    assert answers()
    assert not (home.postgres / "initial_password").exists()


def test_a_process_killed_while_it_makes_the_cluster_is_followed_by_one_that_succeeds(
    fresh_home: Callable[..., Home],
) -> None:
    home = fresh_home()
    with run_python(SHOW_SERVER, env=process_environment()) as killed:
        while not (home.postgres / "data.new" / "base").exists():
            assert killed.poll() is None
        killed.kill()
    assert answers()
    assert sorted(path.name for path in home.postgres.iterdir() if path.is_dir()) == ["data"]


def test_a_new_cluster_in_an_old_home_is_provisioned(fresh_home: Callable[..., Home]) -> None:
    home = fresh_home()
    assert answers()
    down(settings())
    data_folder(home).rename(home.postgres / "moved_away")
    assert answers()


def test_a_lost_password_file_is_an_error_that_says_so(home: Home) -> None:
    passwords = home.postgres / "passwords.json"
    passwords.rename(passwords.with_suffix(".away"))
    down(settings())
    try:
        with pytest.raises(EmbeddedPartError, match="passwords"):
            databases()
    finally:
        passwords.with_suffix(".away").rename(passwords)
