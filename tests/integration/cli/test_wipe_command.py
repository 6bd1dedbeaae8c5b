"""After a wipe nothing that Millpond holds has the rows of the day: no file, no table, no record."""

from __future__ import annotations

import datetime as dt
import json
import logging
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fake_source import DAY, Entries, FakeSource, fake_source, reading
from millpond import crash_points
from millpond.backfill.planner import make_plan
from millpond.definitions import defs
from millpond.errors import RefRefused
from millpond.instance.home import open_instance
from millpond.lake import pins, read, refs
from millpond.lake.history import plan_undo
from millpond.lake.ref_log import list_commits
from millpond.partitions import Window
from millpond.resources.run import LEFT_OUT_TAG, accept_tags
from millpond.runs.run import materialize
from millpond.runs.wipe import plan_wipe, wipe
from millpond.runtime.databases import connect_superuser
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.settings import process_environment
from project_folders import sources_at

Run = Callable[..., tuple[int, str, str]]
TOKEN = "t0kenOfAda"
BOTH, WIPED = Window.of_days(DAY, DAY + dt.timedelta(days=1)), Window.of_day(DAY)
SELECTION = "dlt_climate_entries*"


def entries(device: str) -> Entries:
    """Return two days of readings; those of the first have the token, and so has a bad row of it."""
    rows = [
        reading(number, day, _id=f"{TOKEN if day == DAY else 'other'}-{day}-{number}", device=device)
        for day in BOTH.days
        for number in range(0, 288, 24)
    ]
    rows[3] |= {"lux": 99_999}
    return Entries(rows)


@pytest.fixture
def loaded(home: Home) -> Iterator[FakeSource]:
    """Two days in every layer and mart, loaded twice, so that there are former versions."""
    with fake_source() as source, sources_at(source.url):
        for device in ("one", "two"):
            source.serve = entries(device)
            assert materialize(SELECTION, BOTH).success
        yield source


def _interrupt(moment: str, reached: str) -> None:
    if reached == moment:
        raise InterruptedError


def find_token(home: Home) -> list[str]:
    """Return where the token is, in the bytes of files, the rows of Parquet, and the rows of all tables."""
    found = [str(file) for file in home.root.rglob("*") if file.is_file() and _holds(home, file)]
    server = find_server(home)
    assert server
    for database in ("dagster", "lake", "marts"):
        with connect_superuser(home, server, database) as connection:
            found += [f"{database} {table}" for table in _search(connection)]
    return found


def _holds(home: Home, file: Path) -> bool:
    if file.is_relative_to(home.postgres):
        return False  # by SQL, see `_search`
    if file.suffix == ".parquet":
        return any(TOKEN in str(value) for column in pq.read_table(file).columns for value in column)
    return TOKEN.encode() in file.read_bytes()


def _search(connection: psycopg.Connection[Any]) -> list[str]:
    names = connection.execute(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    like = f"%{TOKEN}%"
    sql = "select count(*) from {} t where t::text like %s"
    return [name for (name,) in names if connection.execute(sql.format(name), (like,)).fetchone() != (0,)]


def days_of(table: str) -> set[str]:
    rows: pa.Table = read.scan("main", table)
    column = "_partition_date" if "_partition_date" in rows.column_names else "reading_date"
    return {str(day) for day in rows[column].to_pylist()}


@pytest.mark.slow
def test_no_file_and_no_table_has_a_row_of_a_wiped_day_and_nothing_loads_it_again(
    home: Home, loaded: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_token(home)
    before = list_commits("main")
    refs.create("mine", purpose="a person's")
    plan = plan_wipe(SELECTION, WIPED, defs)
    assert plan.rows["raw.climate_entries"] == 11
    assert plan.rows["quarantine.climate_entries"] == 1
    with pytest.raises(RefRefused, match="branch mine") as refused:
        wipe(plan, defs)
    assert "`millpond branch drop mine`" in refused.value.next_step
    with open_instance() as instance:
        (ended, *_) = instance.get_run_ids(limit=1)
    refs.create("audit_of_a_killed_run", run_id=ended)
    refs.create("audit_that_failed", run_id=ended)
    refs.keep("audit_that_failed", "a check failed")
    with pins.hold_pin("main") as held:
        shown = json.loads(run("wipe", SELECTION, "-p", str(DAY), "--json")[1])["refused_for"]
    assert [each["name"].split(" of ")[0] for each in shown] == [
        "branch audit_that_failed",
        "branch mine",
        f"pin {held.name}",
    ]
    code, out, _ = run("wipe", SELECTION, "-p", str(DAY))
    assert code == 0
    assert "would be refused: branch mine still needs the rows; `millpond branch drop mine`" in out
    assert "Nothing was changed. A wipe cannot be undone. Next: the above, then repeat it with --yes" in out
    for name in ("mine", "audit_that_failed"):
        refs.drop(name)
    assert "would be refused" not in run("wipe", SELECTION, "-p", str(DAY))[1]
    with pins.hold_pin("main") as held, pytest.raises(RefRefused, match=held.name):
        wipe(plan, defs)
    for moment in ("wipe.removed", "wipe.expired"):
        repeated = plan_wipe(SELECTION, WIPED, defs)
        with monkeypatch.context() as patch:
            patch.setattr(crash_points, "reached", partial(_interrupt, moment))
            with pytest.raises(InterruptedError):
                wipe(repeated, defs)
    code, out, err = run("wipe", SELECTION, "-p", str(DAY), "--yes", "--json")
    assert code == 0, err
    done = json.loads(out)
    assert find_token(home) == []
    assert done["published"] is True
    assert "device_versions" in done["left"]
    assert days_of("raw.climate_entries") == days_of("silver.fct_climate_readings") == {str(BOTH.last)}
    assert sum(each["bytes"] for each in done["tables"]) > 0
    for day, state in zip(BOTH.days, ("wiped", "equal"), strict=True):
        code, out, err = run("reconcile", "--partition", str(day), "--json")
        assert code == 0, out + err
        states = {line["asset"]: line["state"] for line in json.loads(out)["lines"]}
        assert states["dlt_climate_entries"] == state

    with pytest.raises(RefRefused, match="were wiped since"):
        plan_undo("main", before[-1].id, with_later=True)
    with open_instance() as instance:
        planned = make_plan(SELECTION, BOTH.days, instance=instance, definitions=defs, ref="main", force=True)
    of_day = [item for item in planned.items if item.partition == DAY]
    assert {(item.state, item.todo) for item in of_day} == {("unreachable", False)}
    again = materialize(SELECTION, BOTH)
    assert again.success
    assert [check.message for check in again.checks if not check.passed] == []
    assert any(f"{DAY} was wiped" in sentence for sentence in again.left_out)
    shown_with_the_run(again.run_id)
    told_what_is_left_out(run)
    assert find_token(home) == []
    copied = {LEFT_OUT_TAG: f"dlt_other: {DAY}; dlt_climate_entries: {DAY}"}
    accepted = materialize(SELECTION, WIPED, tags=accept_tags(shrink=False, wiped=True) | copied)
    assert accepted.success
    with open_instance() as instance:
        ended = instance.get_run_by_id(accepted.run_id)
        assert ended
        assert ended.tags[LEFT_OUT_TAG] == f"dlt_other: {DAY}"
    assert days_of("raw.climate_entries") == {str(day) for day in BOTH.days}


def shown_with_the_run(run_id: str) -> None:
    """Dagster's pages show what a run left out: a warning in its log, and a tag."""
    with open_instance() as instance:
        ended = instance.get_run_by_id(run_id)
        assert ended
        assert ended.tags[LEFT_OUT_TAG] == f"dlt_climate_entries: {DAY}"
        (warning,) = [e for e in instance.all_logs(run_id) if e.level == logging.WARNING]
    assert f"{DAY} left out: it was wiped" in warning.user_message
    assert (
        f"`millpond materialize dlt_climate_entries --partition {DAY} --accept-wiped`" in warning.user_message
    )


def told_what_is_left_out(run: Run) -> None:
    """What a command leaves out is in its last lines; where that is all that was asked for, it is refused."""
    code, out, _ = run("materialize", SELECTION, "--range", str(BOTH))
    assert code == 0
    done, said = out.partition("partly done")[1:]
    assert done
    assert f"  left out: dlt_climate_entries: {DAY} was wiped" in said
    code, out, err = run("materialize", SELECTION, "--partition", str(DAY))
    assert (code, out.count("done")) == (2, 0)
    assert "nothing would be loaded" in err
    assert f"`millpond materialize '{SELECTION}' --partition {DAY} --accept-wiped`" in err
    for days, ended in ((f"{DAY}", 2), (f"{DAY},{BOTH.last}", 0)):
        code, out, _ = run("backfill", "dlt_climate_entries", "--partitions", days)
        assert code == ended
        assert f"Left out, as they were wiped: dlt_climate_entries {DAY}." in out


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_wipe_whose_process_is_killed_at_any_moment_is_finished_by_repeating_it(
    home: Home, loaded: FakeSource, run: Run, record_property: Callable[[str, object], None]
) -> None:
    tables = [name for name in read.list_tables("main") if name.startswith(("raw.", "silver."))]
    other = {name: _rows_of_other_days(name) for name in tables}
    command = [sys.executable, "-m", "millpond.cli.main", "wipe", SELECTION, "-p", str(DAY), "--yes"]
    chance, killed, states = random.Random(19), 0, Counter[str]()
    while killed < 8:
        process = subprocess.Popen(
            command, env=process_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(1, 20))
        ended = process.poll() is not None
        process.kill()
        process.wait()
        killed += 1
        shown = DAY.isoformat() in days_of("raw.climate_entries")
        states["completed" if ended else "before" if shown else "after the merge"] += 1
        assert {name: _rows_of_other_days(name) for name in tables} == other
    code, out, err = run("wipe", SELECTION, "-p", str(DAY), "--yes", "--json")
    assert code == 0, out + err
    record_property("seen", f"{killed} kills: {dict(states)}")
    assert find_token(home) == []
    assert {name: _rows_of_other_days(name) for name in tables} == other
    assert [ref.name for ref in refs.list_refs()] == ["main"]
    assert not [table for table, of in plan_wipe(SELECTION, WIPED, defs).rows.items() if of]
    for day in BOTH.days:
        assert run("reconcile", "--partition", str(day))[0] == 0
    assert materialize(SELECTION, BOTH).success
    assert {name: _rows_of_other_days(name) for name in tables if name.startswith("silver.")} == {
        name: rows for name, rows in other.items() if name.startswith("silver.")
    }


def _rows_of_other_days(table: str) -> list[str]:
    rows = read.scan("main", table)
    if "_partition_date" not in rows.column_names:
        return []
    kept = [row for row in rows.to_pylist() if row["_partition_date"] != DAY]
    return sorted(str({k: v for k, v in row.items() if k not in ("_run_id", "_loaded_at")}) for row in kept)
