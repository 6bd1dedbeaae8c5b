"""`millpond branch` and `--ref`: a change tried against real data, looked at, and promoted or thrown away."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from lake_readings import day, days, found, rows, spec, write
from millpond.errors import RefNotFound
from millpond.lake import read, refs
from millpond.lake.connect import borrow_connection
from millpond.lake.tables import Replacement, replace
from millpond.partitions import latest_complete_day
from millpond.publish.publication import publish
from millpond.publish.spec import MartSpec, PublishDeclaration
from millpond.runtime.databases import databases
from millpond.settings import settings

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("home")


def printed(run: Run, *arguments: str) -> str:
    code, out, err = run(*arguments)
    assert code == 0, err
    return out


def refused(run: Run, *arguments: str, code: int) -> str:
    ended, out, err = run(*arguments)
    assert ended == code, out + err
    return err


def asked(run: Run, *arguments: str) -> Any:
    return json.loads(printed(run, *arguments, "--json"))


def names() -> set[str]:
    return {ref.name for ref in refs.list_refs()}


def schemas() -> set[str]:
    with databases().marts.connect() as connection:
        return {name for (name,) in connection.execute("select nspname from pg_namespace")}


def published(ref: str) -> None:
    data = pa.table({"day": [day(0)], "rows": [1]})
    gold = spec("gold.mrt_days", data.schema, window_column=None, key=("day",), grain=None)
    replace([Replacement(gold, data, None)], ref=ref, run_id="run")
    declared = PublishDeclaration(key=("day",))
    publish([MartSpec(name="mrt_days", table="gold.mrt_days", declared=declared)], ref=ref, run_id="run")


def test_a_branch_is_created_listed_and_shown(run: Run) -> None:
    write({0: [1, 2]})
    out = printed(run, "branch", "create", "dev", "--purpose", "a trial")
    assert "created dev from main: 1 table, no data copied" in out
    printed(run, "branch", "create", "more", "--from", "dev")
    write({0: [3]}, ref="dev", run="run-1")
    main, dev, more = asked(run, "branch", "list")
    assert (main["name"], main["base"], main["state"]) == ("main", None, "main")
    assert (dev["name"], dev["base"], dev["state"], dev["purpose"]) == ("dev", "main", "branch", "a trial")
    assert (dev["tables"], dev["changed"]) == (1, 1)
    assert (more["name"], more["base"], more["changed"]) == ("more", "dev", 0)
    assert "a trial" in printed(run, "branch", "list")
    shown = asked(run, "branch", "show", "dev")
    (table,) = shown["tables"]
    assert (table["table"], table["windows"]) == ("raw.readings", "2026-10-30")
    assert (table["rows_added"], table["rows_removed"]) == (1, 2)
    assert [e["action"] for e in shown["history"]] == ["create branch", "replace"]
    text = printed(run, "branch", "show", "dev")
    assert "raw.readings" in text
    assert "run-1" in text


def test_a_diff_shows_counts_and_rows_before_and_after(run: Run) -> None:
    write({0: [1, 2], 1: [3]})
    refs.create("dev")
    changed = rows({0: [2, 5]}).set_column(2, "value", pa.array([20, 5]))
    replace([Replacement(spec(), changed, days(0, 0))], ref="dev", run_id="run")
    write({3: [9]})
    (table,) = asked(run, "branch", "diff", "dev")["tables"]
    delta = table["rows"]
    assert (table["table"], table["key"], table["windows"]) == ("raw.readings", ["reading_id"], "2026-10-30")
    assert (delta["added"], delta["removed"], delta["changed"]) == (1, 1, 1)
    change = {"key": {"reading_id": "0-2"}, "columns": {"value": {"before": 2, "after": 20}}}
    assert delta["samples_changed"] == [change]
    text = printed(run, "branch", "diff", "dev")
    assert "1 of 1 rows changed" in text
    assert "changed 2026-11-02: a merge keeps both" in text
    without = asked(run, "branch", "diff", "dev", "--samples", "0")["tables"][0]["rows"]
    assert (without["added"], without["samples_added"]) == (1, [])
    assert "raw.nothing" in refused(run, "branch", "diff", "dev", "--table", "raw.nothing", code=1)


def test_a_merge_moves_everything_says_so_and_drops_the_branch_with_its_marts(run: Run) -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    published("dev")
    assert "marts_dev" in schemas()
    out = printed(run, "branch", "merge", "dev")
    assert "Merged dev into main, all at once" in out
    assert "raw.readings" in out
    assert "gold.mrt_days" in out
    assert "millpond materialize group:marts" in out
    assert (names(), found()) == ({"main"}, {0: [2]})
    assert "marts_dev" not in schemas()


def test_a_refused_merge_names_tables_and_days_and_moves_nothing(run: Run) -> None:
    write({0: [1], 1: [1]})
    refs.create("dev")
    published("dev")
    write({0: [2]}, ref="dev")
    write({0: [3]})
    err = refused(run, "branch", "merge", "dev", code=1)
    assert "raw.readings: the days 2026-10-30 changed on both sides" in err
    assert "Unharmed: main and the branch" in err
    assert "millpond branch diff dev" in err
    assert (found(), found(ref="dev")) == ({0: [3], 1: [1]}, {0: [2], 1: [1]})
    assert "marts_dev" in schemas()
    assert "changed 2026-10-30 as well: a merge is refused" in printed(run, "branch", "diff", "dev")


def test_a_branch_is_thrown_away_with_its_marts_alone(run: Run) -> None:
    published("main")
    refs.create("dev")
    published("dev")
    out = printed(run, "branch", "drop", "dev")
    assert "dropped dev with its 0 changed tables and 1 mart; main is unchanged" in out
    assert names() == {"main"}
    assert "marts" in schemas()
    assert "marts_dev" not in schemas()


def test_what_failed_its_audit_is_merged_only_by_force(run: Run) -> None:
    write({0: [1]})
    refs.create("audit_1", purpose="audit of readings", run_id="run-1")
    write({0: [2]}, ref="audit_1")
    refs.keep("audit_1", "check has_key of readings failed for 1 row")
    err = refused(run, "branch", "merge", "audit_1", code=2)
    assert "check has_key of readings failed" in err
    assert found() == {0: [1]}
    assert "audit kept" in printed(run, "branch", "list")
    assert "check has_key of readings failed" in printed(run, "branch", "show", "audit_1")
    printed(run, "branch", "merge", "audit_1", "--force")
    assert found() == {0: [2]}


def test_old_audits_are_cleaned_up_and_branches_stay(run: Run) -> None:
    refs.create("dev")
    refs.create("audit_1", run_id="run-1")
    refs.keep("audit_1", "failed")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - %s", (dt.timedelta(days=8),))
    assert "no audit branch is old enough" in printed(run, "branch", "clean", "--older-than", "9d")
    assert "would drop audit_1" in printed(run, "branch", "clean", "--dry-run")
    assert names() == {"main", "dev", "audit_1"}
    assert "dropped audit_1" in printed(run, "branch", "clean")
    assert names() == {"main", "dev"}
    assert "is not a duration" in refused(run, "branch", "clean", "--older-than", "soon", code=2)


@pytest.mark.parametrize("command", ["show", "diff", "merge", "drop"])
def test_main_and_unknown_names_are_refused(run: Run, command: str) -> None:
    assert "main is not a branch" in refused(run, "branch", command, "main", code=2)
    assert "there is no ref 'gone'" in refused(run, "branch", command, "gone", code=2)


def test_names_that_cannot_be_are_refused(run: Run) -> None:
    assert "not a valid name" in refused(run, "branch", "create", "Dev-1", code=2)
    printed(run, "branch", "create", "dev")
    assert "already" in refused(run, "branch", "create", "dev", code=2)
    assert "'gone'" in refused(run, "branch", "create", "other", "--from", "gone", code=2)


def test_a_ref_that_is_not_there_is_refused_before_anything_runs(
    run: Run, configure: Callable[..., Any]
) -> None:
    commands: list[list[str]] = [
        ["materialize", "dlt_climate_entries"],
        ["env"],
        ["sql", "select 1"],
        ["tables"],
    ]
    for command in commands:
        assert "there is no ref 'gone'" in refused(run, *command, "--ref", "gone", code=2)
    err = refused(run, "materialize", "dlt_climate_entries", "--ref", "gone", code=2)
    assert "millpond branch create gone" in err
    configure(ref="gone")
    refused(run, "materialize", "dlt_climate_entries", code=2)


def test_sql_tables_and_env_go_to_the_ref(run: Run) -> None:
    write({0: [1]})
    published("main")
    refs.create("dev")
    write({0: [1, 2]}, ref="dev")
    count = "select count(*) as n from raw.readings"
    assert asked(run, "sql", "--ref", "dev", count) == [{"n": 2}]
    assert asked(run, "sql", count) == [{"n": 1}]
    listed = asked(run, "tables", "--ref", "dev")
    assert [t["rows"] for t in listed if t["table"] == "raw.readings"] == [2]
    err = refused(run, "sql", "--ref", "dev", "select * from marts.mrt_days", code=2)
    assert "millpond materialize group:marts --ref dev" in err
    published("dev")
    assert asked(run, "sql", "--ref", "dev", "select rows from marts.mrt_days") == [{"rows": 1}]
    told = asked(run, "env", "--ref", "dev")
    assert (told["ref"], told["catalog_warehouse"], told["marts_schema"]) == ("dev", "dev", "marts_dev")
    with psycopg.connect(told["marts_readonly_dsn"]) as connection:
        seen = connection.execute("select current_schema(), count(*) from mrt_days").fetchone()
    assert seen == ("marts_dev", 1)
    assert "export MILLPOND_REF=dev" in printed(run, "env", "--ref", "dev", "--export")
    assert "MILLPOND_REF" not in printed(run, "env", "--export")


@pytest.mark.slow
def test_a_change_is_tried_on_a_branch_and_promoted(run: Run) -> None:
    last = latest_complete_day(settings().zone)
    before = last - dt.timedelta(days=1)
    printed(run, "materialize", "*", "--partition", str(before))
    on_main = {name: read.count("main", name) for name in read.list_tables("main")}
    printed(run, "branch", "create", "dev")
    outcome = asked(run, "materialize", "*", "--partition", str(last), "--ref", "dev")
    assert outcome["success"]
    assert not outcome["missing"]
    assert {name: read.count("main", name) for name in read.list_tables("main")} == on_main
    assert {"marts", "marts_dev"} <= schemas()
    daily = "select count(distinct reading_date) as n from marts.mrt_climate_overview"
    assert asked(run, "sql", daily) == [{"n": 1}]
    assert asked(run, "sql", "--ref", "dev", daily) == [{"n": 2}]
    (readings,) = asked(run, "branch", "diff", "dev", "--table", "silver.fct_climate_readings")["tables"]
    assert readings["windows"] == str(last)
    assert readings["rows"]["added"] > 0
    assert (readings["rows"]["removed"], readings["rows"]["changed"]) == (0, 0)
    assert [ref.state for ref in refs.list_refs()] == ["main", "branch"], "no audit branch is left"
    assert "In Dagster, " in printed(run, "branch", "merge", "dev")
    assert asked(run, "sql", daily) == [{"n": 1}], "marts of main are published from main"
    printed(run, "materialize", "group:marts")
    assert asked(run, "sql", daily) == [{"n": 2}]
    with pytest.raises(RefNotFound):
        read.list_tables("dev")
