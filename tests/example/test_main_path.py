"""What a newcomer types, from an empty home to marts, in this process."""

import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.compute as pc
import pytest
import time_machine

from millpond.instance.home import open_instance
from millpond.instance.record import UNDONE, read_versions
from millpond.lake.read import list_tables, load_table
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.runtime.databases import databases
from millpond.runtime.demo_source import DEMO_USER
from millpond.runtime.demo_source.app import build_app
from millpond.runtime.home import Home
from millpond.settings import settings
from served_app import serving

Run = Callable[..., tuple[int, str, str]]
MARTS = (
    *("mrt_github_activity_overview", "mrt_glucose_hourly_patterns", "mrt_glucose_overview"),
    "mrt_glucose_readings",
    "mrt_meal_response",
)


@pytest.fixture
def demo_source() -> Iterator[str]:
    """The address of a demo source that has this process's clock."""
    with serving(build_app()) as url:
        yield url


def query(run: Run, sql: str) -> list[dict[str, Any]]:
    code, out, err = run("sql", "--json", sql)
    assert code == 0, err
    rows: list[dict[str, Any]] = json.loads(out)
    return rows


def assert_notebooks_read_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the code of docs/notebooks.md on three days of the demo."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    page = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text()
    found: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, found)
    found["lake"].close()
    assert (found["days"].num_rows, len(found["latest"]), len(found["former"])) == (3, 3, 1)
    assert 0 < found["readings"].num_rows < 3 * 288
    assert found["weeks"]


def snapshots() -> dict[str, int | None]:
    return {name: load_table("main", name).metadata.current_snapshot_id for name in list_tables("main")}


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_an_undo_leaves_the_lake_the_marts_and_dagsters_record_as_before(home: Home, run: Run) -> None:
    code, out, err = run("demo", "--days", "3")
    assert code == 0, out + err
    glucose = "stg_glucose_entries", "fct_glucose_readings", "fct_daily_glucose_metrics", "dim_device"
    before, marts = snapshots(), query(run, "select * from marts.mrt_glucose_overview order by 1")
    with open_instance() as instance:
        record = read_versions(instance, glucose, "main")
    (oldest,) = query(run, "select min(_partition_date)::text as day from raw.glucose_entries")
    day = dt.date.fromisoformat(oldest["day"]) - dt.timedelta(days=1)
    code, _, err = run("materialize", "dlt_glucose_entries*", "-p", str(day))
    assert code == 0, err
    assert len(query(run, "select * from marts.mrt_glucose_overview")) == len(marts) + 1
    commits = json.loads(run("history", "--json", "-n", "5")[1])
    built = next(c for c in commits if "gold.fct_daily_glucose_metrics" in {t["table"] for t in c["tables"]})
    loaded = next(c for c in commits if "raw.glucose_entries" in {t["table"] for t in c["tables"]})
    for commit in (loaded, built):
        code, out, err = run("undo", commit["id"][:8])
        assert (code, "Nothing was changed" in out) == (0, True), err
        code, out, err = run("undo", commit["id"][:8], "--yes", "--json")
        assert code == 0, err
    done = json.loads(out)
    assert done["published"]
    assert "marts/mrt_glucose_overview" in done["marts"]
    assert done["stale"] == ["fct_meals", "mrt_meal_response"]
    assert snapshots() | {"gold.mrt_meal_response": 0, "silver.fct_meals": 0} == before | {
        "gold.mrt_meal_response": 0,
        "silver.fct_meals": 0,
    }
    assert query(run, "select * from marts.mrt_glucose_overview order by 1") == marts
    with open_instance() as instance:
        after = read_versions(instance, glucose, "main")
    assert {name: of_day.pop(day, None) for name, of_day in after.items()} == {
        name: None if name == "dim_device" else UNDONE for name in glucose
    }
    assert after == record
    assert reconcile(run, str(day)) == (0, {})


def reconcile(run: Run, day: str) -> tuple[int, dict[str, str]]:
    """Return the exit code, and what differs."""
    code, out, err = run("reconcile", "--partition", day, "--json")
    lines = json.loads(out)["lines"]
    assert {"dlt_glucose_entries", "fct_glucose_readings", "marts/mrt_glucose_overview"} <= {
        line["asset"] for line in lines
    }, err
    return code, {line["asset"]: line["why"] for line in lines if line["state"] == "differs"}


def assert_a_change_past_the_platform_is_found(run: Run) -> None:
    """Change a value in a silver table and in a mart, with as many rows as before."""
    (newest,) = query(run, "select max(_partition_date)::text as day from raw.glucose_entries")
    assert reconcile(run, newest["day"]) == (0, {})
    code, out, err = run("maintain", "reconcile_days", "--json")
    (task,) = json.loads(out)["tasks"]
    assert (code, task["problems"]) == (0, []), err
    assert task["counts"]["days"] > len(task["lines"]), "of several days"
    table = load_table("main", "silver.fct_glucose_readings")
    rows = table.scan().to_arrow()
    place = rows.column_names.index("glucose_mg_dl")
    changed = rows.set_column(place, rows.schema.field(place), pc.add(rows["glucose_mg_dl"], 1))
    spec = TableSpec("silver.fct_glucose_readings", rows.schema, table.properties["millpond.window_column"])
    replace([Replacement(spec, changed, None)], ref="main", run_id="by hand")
    with databases().marts.connect() as connection:
        connection.execute("update marts.mrt_glucose_overview set reading_count = reading_count + 1")
    code, wrong = reconcile(run, newest["day"])
    assert code == 1
    assert [*wrong] == ["fct_glucose_readings", "marts/mrt_glucose_overview"]
    assert all("are not those" in why for why in wrong.values())
    code, out, _ = run("maintain", "reconcile_days", "--json")
    (task,) = json.loads(out)["tasks"]
    assert code == 1
    assert {problem.partition(",")[0] for problem in task["problems"]} == wrong.keys()


@pytest.mark.usefixtures("clock")
def test_a_demo_fills_every_layer_and_accounts_for_every_row_and_again_changes_nothing(
    home: Home, run_as_typed: Run, request: pytest.FixtureRequest
) -> None:
    code, out, err = run_as_typed("demo", "--days", "3")
    assert code == 0, out + err
    assert out.count("3 of 3") == 4
    assert "✗" not in out
    first = snapshots()
    run = request.getfixturevalue("run")  # from here on without a companion
    assert {name.split(".")[0] for name in first} == {"raw", "bronze", "silver", "gold", "quarantine"}

    code, out, _ = run("demo", "--days", "3", "--json")
    document = json.loads(out)
    assert (code, document["complete"], document["run"]["success"]) == (0, True, True)
    assert {len(days) for days in document["loads"].values()} == {3}
    assert {
        name for name, mart in document["marts"].items() if mart["rows_lake"] == mart["rows_postgres"]
    } == {f"marts/{mart}" for mart in MARTS}
    assert snapshots() == first

    for mart in MARTS:
        lake = query(run, f"select count(*) as n from gold.{mart}")
        postgres = query(run, f"select count(*) as n from marts.{mart}")
        assert lake == postgres
        assert lake[0]["n"] > 0
    code, out, err = run("bi", "check", "--json")
    assert (code, json.loads(out)["problems"]) == (0, []), err
    assert_notebooks_read_all_of_it(request.getfixturevalue("monkeypatch"))
    assert_a_change_past_the_platform_is_found(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "zone"),
    [
        ("2024-02-29", "UTC"),
        ("2024-12-31", "Asia/Kathmandu"),
        ("2025-11-03", "America/New_York"),  # after a day of 25 hours
        ("2026-03-29", "Europe/Berlin"),  # 23 hours
        ("2026-10-25", "Europe/Berlin"),  # 25 hours
    ],
)
def test_a_demo_fills_every_layer_on_each_kind_of_day(
    home: Home,
    run: Run,
    configure: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    demo_source: str,
    last: str,
    zone: str,
) -> None:
    for source in ("NIGHTSCOUT", "GITHUB", "METER", "DIARY"):
        monkeypatch.setenv(f"MILLPOND_{source}_URL", demo_source)
    monkeypatch.setenv("MILLPOND_GITHUB_USER", DEMO_USER)
    configure(timezone=zone, start_date=dt.date(2024, 1, 1), demo_url=demo_source)
    morning = dt.datetime.fromisoformat(last) + dt.timedelta(days=1, hours=12)
    with time_machine.travel(morning.replace(tzinfo=ZoneInfo(zone))):
        code, out, err = run("demo", "--days", "3")
        assert code == 0, out + err
        assert out.count("3 of 3") == 4
        assert "✗" not in out
        for mart in MARTS:
            assert query(run, f"select count(*) as n from gold.{mart}")[0]["n"] > 0, mart
        found = query(run, "select max(_partition_date) as day from raw.glucose_entries")
        assert found == [{"day": last}]


@pytest.mark.usefixtures("clock")
def test_materialize_takes_the_latest_complete_day_unless_told(home: Home, run: Run) -> None:
    code, out, err = run("materialize", "dlt_glucose_entries", "--json")
    assert code == 0, err
    outcome = json.loads(out)
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    days = query(run, "select distinct _partition_date as day from raw.glucose_entries")
    assert outcome["success"]
    assert days == [{"day": yesterday.isoformat()}]


@pytest.mark.parametrize(
    "key", ["2026-11-01' OR 1=1--", "2999-01-01", "1999-12-31", "2026-02-30", "x", "2026-11-02...2026-11-01"]
)
def test_a_day_that_cannot_be_is_refused_before_anything_runs(home: Home, run: Run, key: str) -> None:
    code, out, err = run("materialize", "dlt_glucose_entries", "--range", key)
    assert code == 2, out
    assert "Next:" in err


def test_an_unknown_asset_suggests_the_near_ones(home: Home, run: Run) -> None:
    code, _, err = run("materialize", "dlt_glucos_entries")
    assert code == 2
    assert "dlt_glucose_entries" in err


@pytest.mark.parametrize(
    "statement", ["create table raw.x as select 1 as a", "select 1; select 2", "selec 1", ""]
)
def test_sql_runs_one_statement_that_reads(home: Home, run: Run, statement: str) -> None:
    code, _, err = run("sql", statement)
    assert code == 2
    assert err


def test_env_gives_addresses_that_work(home: Home, run: Run) -> None:
    code, out, _ = run("env", "--json")
    found = json.loads(out)
    assert code == 0
    assert {
        "home",
        "profile",
        "marts_dsn",
        "marts_readonly_dsn",
        "catalog_uri",
        "catalog_token",
        "dashboard_url",
        "metrics_url",
        "docs_url",
    } <= found.keys()
    with psycopg.connect(found["marts_readonly_dsn"]) as connection:
        row = connection.execute("select current_user").fetchone()
    assert row == ("millpond_read",)


def test_config_show_names_the_origin_and_masks_secrets(
    run: Run, configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(nightscout_token="canary-secret", timezone="Europe/Berlin")
    code, out, _ = run("config", "show", "--json")
    shown = {row["setting"]: row for row in json.loads(out)}
    assert code == 0
    assert "canary-secret" not in out
    assert shown["MILLPOND_NIGHTSCOUT_TOKEN"]["origin"] == "environment"
    assert shown["MILLPOND_TIMEZONE"]["value"] == "Europe/Berlin"
    assert shown["MILLPOND_HOME"]["value"] == str(settings().home)


def test_every_setting_is_documented_in_the_example_file() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    from millpond.settings import Settings, variable

    missing = [
        variable(f) for f in Settings.model_fields if f != "sources" and f"# {variable(f)}=" not in text
    ]
    assert missing == []
