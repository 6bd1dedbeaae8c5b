"""`millpond upgrade`, and what commands do in a home of another release."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from former_state import assert_rows_kept, contents, next_release, recorded, stamp
from millpond.errors import HomeTooNew
from millpond.instance.home import open_instance
from millpond.runtime import databases as databases_module
from millpond.runtime.databases import connect_superuser, databases, refuse_other_version
from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import Home
from millpond.runtime.migrations import migrate
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import Process, register, start_time
from millpond.settings import process_environment

Run = Callable[..., tuple[int, str, str]]

COMMANDS = (
    ("sql", "select 1"),
    ("tables",),
    ("branch", "list"),
    ("branch", "create", "dev"),
    ("materialize", "dlt_climate_entries", "--partition", "2026-11-01"),
    ("backfill", "dlt_climate_entries", "--partitions", "2026-11-01", "--dry-run"),
    ("backfill", "list"),
    ("alerts", "list"),
    ("automation", "list"),
    ("sources", "list"),
    ("sources", "held"),
    ("maintain", "--dry-run"),
    ("retire", "gold.former"),
    ("env",),
    ("demo", "--days", "1"),
)


def test_every_command_refuses_a_home_of_a_newer_release_and_changes_nothing(bare: Home, run: Run) -> None:
    refuse_other_version()
    stamp(7)
    before = contents()
    for command in COMMANDS:
        code, out, said = run(*command)
        words = " ".join((out + said).split())
        assert (command, code) == (command, 2)
        assert "home has version 7, written by Millpond 9.8.7" in words, command
        assert "Unharmed: all of it: nothing was changed" in words, command
        assert "Next: `pip install 'millpond>=9.8.7'`" in words, command
    code, said, _ = run("status")
    assert code == 1
    assert "This home cannot be used: this home has version 7" in " ".join(said.split())
    assert '"version_refused": "this home' in run("status", "--json")[1]
    up = subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", "up"],
        env=process_environment(MILLPOND_DAGSTER_PORT="0", MILLPOND_CATALOG_PORT="0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (up.returncode, "home has version 7" in up.stderr) == (2, True), up.stderr
    assert contents() == before
    with pytest.raises(HomeTooNew):
        open_instance()
    (bare.postgres / "provisioned").write_text("by a newer release, with other roles")
    databases_module._running.clear()
    assert run("tables")[0] == 2
    assert (bare.postgres / "provisioned").read_text() == "by a newer release, with other roles"
    (bare.postgres / "provisioned").unlink()
    _forget_newer(bare)


def _forget_newer(home: Home) -> None:
    """Make the home one of this release again; it is not provisioned, so only the superuser gets in."""
    server = find_server(home)
    assert server
    with connect_superuser(home, server, "lake") as connection:
        for schema in ("catalog", "ops"):
            connection.execute(f"delete from {schema}.migrations where number > {migrate.newest()}")


def test_upgrade_brings_a_home_of_the_release_before_to_this_one_and_may_be_repeated(
    former: Home, run: Run
) -> None:
    before = contents()
    code, said, _ = run("upgrade", "--check", "--json")
    assert (code, [change["part"] for change in json.loads(said)["changes"]]) == (
        1,
        ["state"] * len(migrate.STEPS),
    )
    assert contents() == before
    code, said, _ = run("upgrade")
    assert (code, "version 1: the tables of release 0.1" in said) == (0, True)
    after = contents()
    assert_rows_kept(before, after)
    assert recorded() == {schema: [step.number for step in migrate.STEPS] for schema in ("catalog", "ops")}
    for again in (("upgrade",), ("upgrade", "--check")):
        code, said, _ = run(*again)
        assert (code, "nothing to upgrade" in said) == (0, True)
    assert json.loads(run("upgrade", "--json")[1])["changes"] == []


def test_upgrade_refuses_a_home_of_a_newer_release(bare: Home, run: Run) -> None:
    refuse_other_version()
    stamp(7)
    for command in (("upgrade",), ("upgrade", "--check")):
        code, _, said = run(*command)
        assert (code, "home has version 7" in said) == (2, True)


def killed_at(place: str) -> None:
    """Run `millpond upgrade` in a process that is killed in the midst, with a step of a release to come."""
    program = (
        "import sys\n"
        "from millpond import crash_points\n"
        "from former_state import know_next_release\n"
        "know_next_release()\n"
        f"crash_points.arm({place!r})\n"
        "sys.argv = ['millpond', 'upgrade']\n"
        "from millpond.cli.main import main\n"
        "main()\n"
    )
    environment = process_environment(PYTHONPATH=str(Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("place", ["migrations.applied", "migrations.recorded"])
def test_an_upgrade_that_is_killed_goes_on_where_it_was(
    former: Home, run: Run, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    before = {table: rows for table, rows in contents().items() if rows}
    killed_at(place)
    monkeypatch.setattr(migrate, "STEPS", next_release())
    assert run("upgrade")[0] == 0
    assert recorded() == {schema: [step.number for step in migrate.STEPS] for schema in ("catalog", "ops")}
    after = contents()
    assert_rows_kept(before, after)
    assert after["rewritten"] == [("(1)",)]


def test_upgrade_migrates_dagsters_storage_as_dagster_does(home: Home, run: Run) -> None:
    with open_instance() as opened:
        opened.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", "here", []))
    with databases().dagster.connect() as connection:  # as the Dagster of two years before left it
        connection.execute("alter table concurrency_limits drop column using_default_limit")
        connection.execute("update alembic_version set version_num = '6b7fb194ff9c'")
        connection.execute("delete from secondary_indexes where name = 'run_backfill_id'")
    code, said, _ = run("upgrade", "--check", "--json")
    changes = [change["change"] for change in json.loads(said)["changes"]]
    assert code == 1
    assert changes == ["tables of revision 29b539ebc72a (now 6b7fb194ff9c)", "data: run_backfill_id"]
    assert run("upgrade")[0] == 0
    assert "nothing to upgrade" in run("upgrade", "--check")[1]
    with databases().dagster.connect() as connection:
        assert connection.execute("select using_default_limit from concurrency_limits").fetchall() == []
    with open_instance() as opened:
        assert list(opened.get_daemon_heartbeats()) == ["SENSOR"]
    with databases().dagster.connect() as connection:
        connection.execute("update alembic_version set version_num = 'ffffffffffff'")
    try:
        code, _, said = run("upgrade")
        assert (code, "a newer one wrote it" in said) == (2, True)
    finally:
        with databases().dagster.connect() as connection:
            connection.execute("update alembic_version set version_num = '29b539ebc72a'")


def test_upgrade_waits_for_what_works_in_the_home_and_not_for_what_was_killed(former: Home, run: Run) -> None:
    before = contents()
    with databases().ops.connect_as_it_is() as connection:
        begun = start_time(os.getpid())
        connection.execute(
            "update backfills set state = 'running', host = %s, pid = %s, pid_started = %s",
            (socket.gethostname(), os.getpid(), begun),
        )
    code, _, said = run("upgrade")
    assert (code, "backfill b is in progress" in said) == (2, True)
    assert "`millpond backfill cancel b`" in said
    with databases().ops.connect_as_it_is() as connection:
        connection.execute("update backfills set state = 'done', host = 'h', pid = 1, pid_started = 1.0")
    assert contents() == before


def test_upgrade_asks_to_stop_up_where_there_is_something_to_change(former: Home, run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        begun = start_time(other.pid)
        assert begun
        register(former, Process(SUPERVISOR, other.pid, begun, 0))
        code, _, said = run("upgrade")
        assert (code, "`millpond down`, then `millpond upgrade`" in said) == (2, True)
        refuse_other_version()
        assert run("upgrade")[0] == 0
        other.kill()


def test_upgrade_refuses_while_a_run_is_in_progress(home: Home, run: Run) -> None:
    @dg.op
    def look() -> tuple[int, str]:
        code, _, said = run("upgrade")
        return code, said

    @dg.job
    def working() -> None:
        look()

    with open_instance() as opened:
        done = working.execute_in_process(instance=opened)
        code, said = done.output_for_node("look")
        assert code == 2
        assert f"run {done.run_id} of working is in progress" in said
        killed = create_run_for_test(opened, "working", status=dg.DagsterRunStatus.STARTED)
        event = opened.all_logs(done.run_id, of_type=dg.DagsterEventType.RUN_START)[0]
        gone = event.dagster_event._replace(pid=2**22 + 1)
        opened.handle_new_event(event._replace(run_id=killed.run_id, dagster_event=gone))
    assert run("upgrade")[0] == 0
