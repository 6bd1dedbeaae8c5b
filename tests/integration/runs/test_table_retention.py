"""Days that are older than the retention of their table go, with record and quarantine, and stay away."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pyarrow as pa
import pytest
from daily_assets import DAYS, SINGLE

from lake_readings import DAY, SCHEMA, spec
from millpond.backfill.planner import make_plan
from millpond.ingestion.quarantine_retention import expire_rows
from millpond.instance.record import EXPIRED, RETENTION, read_versions
from millpond.lake import read
from millpond.lake.history import plan_undo, undo
from millpond.lake.ref_log import list_commits
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.partitions import Window, today
from millpond.runs.expiry import expire_tables
from millpond.runs.run import JOB
from millpond.runtime.home import Home
from millpond.settings import settings

pytestmark = pytest.mark.usefixtures("clock")
KEPT = 40


def days() -> dict[str, dt.date]:
    now = today(settings().zone)
    ago = {"old": KEPT + 1, "last": KEPT, "new": 2}
    return {name: now - dt.timedelta(days=number) for name, number in ago.items()}


def fill(table: TableSpec, *of: dt.date) -> None:
    rows = [{DAY: day, "reading_id": str(day), "value": 1, "_run_id": "r"} for day in of]
    whole = Window.of_days(min(of), max(of))
    replace([Replacement(table, pa.Table.from_pylist(rows, SCHEMA), whole)], ref="main", run_id="r")


def days_in(table: str) -> set[dt.date]:
    return set(read.scan("main", table)[DAY].to_pylist())


@pytest.fixture
def definitions() -> dg.Definitions:
    def asset(name: str, table: str, deps: list[str], **metadata: object) -> dg.AssetsDefinition:
        @dg.asset(
            name=name,
            deps=deps,
            partitions_def=DAYS,
            backfill_policy=SINGLE,
            metadata={"dagster/table_name": table, **metadata},
        )
        def made() -> None: ...

        return made

    return dg.Definitions(
        assets=[
            asset(
                "dlt_readings", "raw.readings", [], **{RETENTION: KEPT, "quarantine": "quarantine.readings"}
            ),
            asset("silver", "silver.readings", ["dlt_readings"]),
        ],
        jobs=[dg.define_asset_job(JOB, selection="*")],
    )


def test_older_days_go_in_one_commit_and_no_plan_asks_for_them_or_takes_them_from_what_was_made(
    recorded: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    at = days()
    for name in ("raw.readings", "quarantine.readings", "silver.readings"):
        fill(spec(name), *at.values())
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_job_def(JOB)
    for day in at.values():
        assert job.execute_in_process(instance=recorded, partition_key=str(day)).success
    commits = len(list_commits("main"))
    would = expire_tables(definitions, dry_run=True)
    assert {(each.table, str(each.days), each.rows) for each in would} == {
        ("raw.readings", str(at["old"]), 1),
        ("quarantine.readings", str(at["old"]), 1),
    }
    assert expire_tables(definitions) == would
    assert expire_tables(definitions) == []
    assert days_in("raw.readings") == days_in("quarantine.readings") == {at["last"], at["new"]}
    assert days_in("silver.readings") == set(at.values())
    newest, *before = list_commits("main")
    assert len(before) == commits
    versions = read_versions(recorded, ["dlt_readings"], "main")["dlt_readings"]
    assert [day for day, version in versions.items() if version == EXPIRED] == [at["old"]]
    assert graph
    for force in (False, True):
        planned = make_plan(
            "*", list(at.values()), instance=recorded, definitions=definitions, ref="main", force=force
        )
        due = {(item.asset, item.partition) for item in planned.todo()}
        assert at["old"] not in {day for _, day in due}
        old = {item.asset: item for item in planned.items if item.partition == at["old"]}
        assert all(f"retention of dlt_readings, {KEPT} days" in item.reason for item in old.values())
    undo(plan_undo("main", newest.id))
    assert days_in("raw.readings") == set(at.values())


def test_rows_that_nobody_decided_about_leave_quarantine_after_their_time(home: Home) -> None:
    now = dt.datetime.now(dt.UTC)
    schema = pa.schema(
        [(DAY, pa.date32()), ("payload", pa.string()), ("_loaded_at", pa.timestamp("us", "UTC"))]
    )
    long_ago, lately = now - dt.timedelta(days=401), now - dt.timedelta(days=399)
    rows = [
        {DAY: dt.date(2025, 1, number), "payload": "{}", "_loaded_at": at}
        for number, at in ((1, long_ago), (2, lately), (2, long_ago))
    ]
    table = TableSpec("quarantine.readings", schema, window_column=DAY)
    replace([Replacement(table, pa.Table.from_pylist(rows, schema), None)], ref="main", run_id="r")
    first = Window.of_day(dt.date(2025, 1, 1))
    assert expire_rows(dry_run=True) == expire_rows() == [("quarantine.readings", first, 1)]
    assert days_in("quarantine.readings") == {dt.date(2025, 1, 2)}
    assert expire_rows() == []
