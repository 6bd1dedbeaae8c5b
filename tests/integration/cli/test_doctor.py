"""`millpond doctor` finds what is wrong, each with a remedy, and `--fix` mends what needs no decision."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import time_machine
from dagster import DagsterEvent, DagsterEventType

from alerting import alert, put
from former_state import stamp
from lake_readings import write
from millpond.alerts.outbox import outbox
from millpond.cli import doctor_checks, doctor_safety
from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.lake.connect import borrow_connection
from millpond.lake.metadata import _parsed
from millpond.lake.pointers import read_pointers
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.runtime.databases import current_databases, databases, refuse_other_version
from millpond.runtime.home import Home
from millpond.runtime.migrations import migrate
from millpond.runtime.migrations.migrate import Step
from millpond.runtime.processes import Process
from millpond.settings import Settings, settings

Run = Callable[..., tuple[int, str, str]]


def examine(run: Run, *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Return the exit code, and the problems by check."""
    code, out, err = run("doctor", "--json", *options)
    assert out, err
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(out):
        assert finding["remedy"]
        if finding["kind"] == "problem":
            found.setdefault(finding["check"], []).append(finding)
    return code, found


@pytest.mark.usefixtures("home")
def test_a_home_in_which_all_is_well_has_no_problems(run: Run) -> None:
    write({0: [1]})
    assert examine(run) == (0, {})


@pytest.mark.usefixtures("home")
def test_what_needs_no_decision_is_mended_by_fix_alone(run: Run) -> None:
    refs.create("audit_old", run_id="run")
    refs.keep("audit_old", "check not_null failed")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days' where base <> ''")
    for _ in range(2):  # examining changes nothing
        code, found = examine(run)
        assert (code, [*found]) == (1, ["branches"])
    code, found = examine(run, "--fix")
    assert (code, [f["fixed"] for f in found["branches"]]) == (0, [True])
    assert examine(run) == (0, {})
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def location() -> str:
    with borrow_connection() as conn:
        return read_pointers(conn, "main")["raw.readings"]


def lose_a_data_file() -> None:
    next(Path(location().removeprefix("file://")).parents[1].rglob("*.parquet")).unlink()


def lose_the_metadata() -> None:
    Path(location().removeprefix("file://")).unlink()
    _parsed.clear()


def lose_an_alert() -> None:
    put(alert(1))
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel, state)"
            " select id, 'tell', 'slack', 'abandoned' from alerts"
        )


def set_the_clock_back() -> None:
    with borrow_connection() as conn:
        conn.execute("update lake_ref_log set at = at + interval '2 hours'")


def open_a_breaker() -> None:
    for _ in range(20):
        breaker.record_failure("https://a.example:443", SourceUnreachable("HTTP 503"), "a", [])


def lose_a_backfill() -> None:
    with databases().ops.connect() as connection:
        connection.execute(
            "insert into backfills"
            " (id, selection, ref, options, code, skipped, state, host, pid, pid_started)"
            " values ('1122_4f09ac', '*', 'main', '{}', '', 0, 'running', %s, 999999, 1)",
            (os.uname().nodename,),
        )


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (lose_a_data_file, "lake", "table raw.readings lacks 1 file"),
        (lose_the_metadata, "lake", "table raw.readings lacks 1 file"),
        (lose_an_alert, "alerts", "was not delivered: slack abandoned"),
        (set_the_clock_back, "clock", "the clock was set back"),
        (open_a_breaker, "sources", "https://a.example:443"),
        (lose_a_backfill, "backfills", "backfill 1122_4f09ac lost its process"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_a_person_has_to_decide_is_said_with_a_remedy_and_left_by_fix(
    run: Run, fault: Callable[[], None], check: str, words: str
) -> None:
    write({0: [1]})
    fault()
    for options in ((), ("--fix",)):
        code, found = examine(run, *options)
        assert (code, [*found]) == (1, [check])
        assert words in found[check][0]["what"]
        assert not found[check][0]["fixed"]


@pytest.mark.usefixtures("home")
def test_settings_and_a_full_disk_are_said(
    run: Run, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_checks, "_LEAST_FREE", 1 << 60)
    configure(start_date=dt.date(2049, 12, 31))
    code, found = examine(run)
    assert (code, [*found]) == (1, ["disk", "settings"])
    assert "free on the disk" in found["disk"][0]["what"]
    assert "there is no day to load" in found["settings"][0]["what"]


@pytest.mark.usefixtures("home")
def test_a_run_whose_process_is_gone_is_closed_by_fix_with_the_slots_it_held(run: Run) -> None:
    with open_instance() as instance:
        instance.event_log_storage.set_concurrency_slots("fruit", 1)
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE):
            job = dg.GraphDefinition("j", node_defs=[]).to_job()
            dead = instance.create_run_for_job(job, status=status)
            if status == dg.DagsterRunStatus.STARTED:
                start = DagsterEvent(DagsterEventType.RUN_START.value, "j", pid=4_190_000)
                instance.report_dagster_event(start, dead.run_id)
            else:
                instance.event_log_storage.claim_concurrency_slot("fruit", dead.run_id, "step")
    code, found = examine(run)
    assert (code, [*found], len(found["runs"])) == (1, ["runs"], 2)
    assert {each["remedy"] for each in found["runs"]} == {"millpond doctor --fix"}
    assert examine(run, "--fix")[0] == 0
    assert examine(run) == (0, {})


def test_files_that_others_may_read_are_closed_by_fix(run: Run, home: Home) -> None:
    home.warehouse.chmod(0o755)
    token = home.run / "catalog.token"
    token.write_text("x")
    token.chmod(0o640)
    code, found = examine(run)
    assert (code, [*found], len(found["files"])) == (1, ["files"], 2)
    assert f"chmod go= {home.warehouse}" in {each["remedy"] for each in found["files"]}
    assert examine(run, "--fix")[0] == 0
    assert (home.warehouse.stat().st_mode & 0o777, token.stat().st_mode & 0o777) == (0o700, 0o600)
    token.unlink()


@pytest.mark.usefixtures("home")
def test_a_lock_that_nobody_uses_and_a_package_of_another_version_are_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_safety, "_HELD_MINUTES", -1)
    monkeypatch.setattr(
        doctor_safety, "version", lambda name: "0.1" if name == "duckdb" else metadata.version(name)
    )
    with databases().catalog.connect() as holder:
        holder.execute("select pg_advisory_xact_lock(4711)")
        code, found = examine(run)
        assert (code, [*found]) == (1, ["packages", "locks"])
        assert "holds a lock of a table" in found["locks"][0]["what"]
        assert "duckdb 0.1 is installed, this release needs" in found["packages"][0]["what"]


def test_a_server_that_found_its_port_taken_is_said_with_the_port_that_it_has(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Process("catalog", os.getpid(), 0.0, 5)
    monkeypatch.setattr(
        "millpond.runtime.processes.find_process", lambda _, name: moved if name == "catalog" else None
    )
    (found,) = doctor_safety.examine_moved_ports()
    assert found.what == f"catalog listens on 5, not on {settings().catalog_port} of MILLPOND_CATALOG_PORT"


@pytest.mark.usefixtures("home")
def test_a_table_without_a_model_is_a_hint_that_fails_nothing(run: Run) -> None:
    rows = pa.table({"id": [1]})
    replace([Replacement(TableSpec("gold.left_over", rows.schema), rows, None)], ref="main", run_id="t")
    code, out, _ = run("doctor", "--json")
    (hint,) = (each for each in json.loads(out) if each["check"] == "tables")
    assert (code, hint["kind"], hint["remedy"]) == (0, "hint", "millpond retire gold.left_over")


@pytest.mark.usefixtures("home")
def test_a_mart_without_a_model_is_a_hint_whose_remedy_removes_it(run: Run) -> None:
    with databases().marts.connect() as connection:
        connection.execute("create table marts.left_over as select 1 as id")
    code, out, _ = run("doctor", "--json", "--fix")
    (hint,) = (each for each in json.loads(out) if each["check"] == "tables")
    assert (code, hint["kind"], hint["fixed"]) == (0, "hint", False)
    assert hint["remedy"] == "millpond retire marts.left_over"
    assert run(*hint["remedy"].split()[1:], "--yes")[0] == 0
    assert not [each for each in json.loads(run("doctor", "--json")[1]) if each["check"] == "tables"]


@pytest.mark.usefixtures("home")
def test_a_migration_of_dagsters_storage_that_is_pending_is_made_by_the_remedy(run: Run) -> None:
    open_instance().dispose()
    with databases().dagster.connect() as connection:
        (name,) = connection.execute(
            "delete from secondary_indexes where name = (select min(name) from secondary_indexes)"
            " returning name"
        ).fetchone() or ("",)
    for options in ((), ("--fix",)):
        code, found = examine(run, *options)
        assert (code, [*found]) == (1, ["versions"])
        (pending,) = found["versions"]
        assert (pending["remedy"], pending["fixed"]) == ("millpond upgrade", False)
        assert f"data: {name}" in pending["what"]
    assert run("upgrade")[0] == 0
    assert examine(run) == (0, {})


@pytest.mark.usefixtures("home")
def test_a_clock_that_differs_from_that_of_postgres_is_said(run: Run) -> None:
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=3)):
        code, found = examine(run, "--fix")
    assert (code, [*found]) == (1, ["clock"])
    assert "this machine's clock is +180 s from Postgres'" in found["clock"][0]["what"]
    assert found["clock"][0]["remedy"] == "set the clock (NTP)"
    assert examine(run) == (0, {})


def test_a_home_of_a_newer_release_is_the_one_finding_of_its_state(bare: Home, run: Run) -> None:
    refuse_other_version()
    stamp(7)
    for options in ((), ("--fix",)):
        code, found = examine(run, *options)
        assert (code, [*found]) == (1, ["home"])
        assert "home has version 7, written by Millpond 9.8.7" in found["home"][0]["what"]
        assert found["home"][0]["remedy"].startswith("`pip install 'millpond>=9.8.7'`")


def test_a_migration_of_our_own_state_that_is_pending_is_the_one_finding_of_it_and_not_made(
    bare: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_other_version()
    current_databases.clear()
    newest = migrate.STEPS[-1].number
    slow = Step(newest + 1, "rewrites", ops="create table rewritten (a int)", on_opening=False)
    monkeypatch.setattr(migrate, "STEPS", (*migrate.STEPS, slow))
    for options in ((), ("--fix",)):
        code, found = examine(run, *options)
        assert (code, [*found]) == (1, ["home"])
        assert f"needs version {newest + 1}" in found["home"][0]["what"]
        assert "`millpond upgrade`" in found["home"][0]["remedy"]
        assert not found["home"][0]["fixed"]
    assert run("upgrade")[0] == 0
    assert "home" not in examine(run)[1]


@pytest.mark.parametrize(
    ("holds", "said", "remedy"),
    [
        (None, "there is no home at", "millpond demo"),
        ("dbt", "there is no home at", "millpond materialize '*'"),  # of a command that only looked at models
        ("warehouse/raw", "has lost its databases", "millpond restore --from-warehouse"),
    ],
)
def test_where_there_are_no_databases_none_are_created(
    run: Run, configure: Callable[..., Settings], tmp_path: Path, holds: str | None, said: str, remedy: str
) -> None:
    home = configure(home=tmp_path / "none").home
    if holds:
        (home / holds).mkdir(parents=True)
        (home / holds.partition("/")[0]).chmod(0o700)
    before = sorted(tmp_path.rglob("*"))
    code, found = examine(run)
    assert (code, [*found]) == (1, ["home"])
    assert said in found["home"][0]["what"]
    assert remedy in found["home"][0]["remedy"]
    assert sorted(tmp_path.rglob("*")) == before
