"""`millpond backup`, `verify` and `restore` as typed: a home that is gone, and back at another path."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

import rest_endpoint as rest
from alerting import alert, put
from lake_readings import days, found, rows, spec
from millpond.alerts.outbox import outbox
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.lake.read import scan
from millpond.lake.tables import Replacement, replace
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]
Configure = Callable[..., Settings]
TABLES = ("raw.readings", "gold.readings")


@dg.job
def in_progress() -> None:
    """A run that is in progress when the backup is made."""


def write(value: int, day: int = 0, ref: str = "main") -> None:
    replace(
        [Replacement(spec(name), rows({day: [value]}), days(day, day)) for name in TABLES],
        ref=ref,
        run_id=f"run-{value}",
    )


def tell(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def tell_commits(run: Run) -> list[dict[str, Any]]:
    commits: list[dict[str, Any]] = json.loads(run("history", "--json")[1])
    return commits


def put_sent_alert() -> None:
    put(alert(1))
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel, state)"
            " select id, 'tell', 'log', 'delivered' from alerts"
        )


def list_sent() -> list[tuple[Any, ...]]:
    with outbox() as connection:
        rows = connection.execute("select alert, channel, state from alert_deliveries").fetchall()
    return [tuple(row.values()) for row in rows]


def test_a_restored_home_has_the_same_rows_commits_branches_marts_and_record_at_another_path(
    home: Home, run: Run, tmp_path: Path, place: Path, configure: Configure
) -> None:
    write(1)
    write(2)
    refs.create("dev")
    write(3, ref="dev")
    with rest.attached("dev") as connection:  # an engine that leaves position deletes
        connection.execute("create table gold.doubled as select 2 * unnest([1, 2, 3]) as value")
        connection.execute("delete from gold.doubled where value = 4")
        connection.execute("create table gold.tripled (value bigint) with ('format-version' = '3')")
        connection.execute("insert into gold.tripled select 3 * unnest([1, 2, 3])")
        connection.execute("delete from gold.tripled where value = 6")  # a deletion vector
    first = tell_commits(run)
    backup = tmp_path / "backup"
    with open_instance() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("readings", partition="2026-11-01"))
        unfinished = instance.create_run_for_job(in_progress, status=dg.DagsterRunStatus.STARTED)
    with databases().marts.connect() as connection:
        connection.execute("create table marts.readings as select 1.5 as value, now() as at")
    put_sent_alert()
    made = tell(run, "backup", str(backup))
    assert (made["tables"], made["rows"], made["copied_files"]) == (2, 2, made["files"])
    write(4, day=1)
    again = tell(run, "backup", str(backup))
    assert (again["rows"], again["copied_files"]) == (4, again["files"] - made["files"])
    assert [stat.S_IMODE(p.stat().st_mode) for p in (backup, backup / "backup.json")] == [0o700, 0o600]
    write(5)  # after the backup
    sent = list_sent()

    code, _, err = run("restore", str(backup))
    assert (code, "is not empty" in err) == (2, True), err
    lost = home.warehouse.rename(tmp_path / "lost")
    configure(home=place / "restored", postgres_port=0)
    restored = tell(run, "restore", str(backup))
    assert (restored["rows"], restored["runs_ended"]) == (4, 1)
    assert found("gold.readings") == {0: [2], 1: [4]}
    assert found("gold.readings", ref="dev") == {0: [3]}
    assert sorted(scan("dev", "gold.doubled")["value"].to_pylist()) == [2, 6]
    assert sorted(scan("dev", "gold.tripled")["value"].to_pylist()) == [3, 9]
    seen = run("sql", "select value from gold.tripled order by 1", "--ref", "dev", "--csv")[1]
    assert seen.split() == ["value", "3", "9"]
    assert tell_commits(run)[1:] == first
    then = run("sql", "select value from gold.readings", "--at", first[-1]["id"][:8], "--csv")[1]
    assert then.splitlines() == ["value", "1"]
    assert list_sent() == sent
    with open_instance() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("readings")) == {"2026-11-01"}
        ended = instance.get_run_by_id(unfinished.run_id)
    assert ended
    assert ended.status == dg.DagsterRunStatus.CANCELED
    with databases().marts_readonly.connect() as connection:
        assert connection.execute("select value from marts.readings").fetchall() == [(1.5,)]
    refs.merge("dev")
    write(6)
    assert found("gold.readings") == {0: [6], 1: [4]}
    lost.rename(home.warehouse)
