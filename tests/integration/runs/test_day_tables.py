"""An asset of one's own writes days of a table of the lake, as a model does."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
from daily_assets import DAYS, SINGLE, WEEK, daily

import millpond
from millpond.backfill.plan import State
from millpond.backfill.planner import make_plan
from millpond.errors import ConfigError
from millpond.instance.record import read_latest, read_versions
from millpond.lake import read, refs
from millpond.lake.spec import TableSpec
from millpond.partitions import Window
from millpond.resources.run import OWN_PARTITIONS
from millpond.runs.run import JOB, RunOutcome, materialize

TABLE = TableSpec(
    "silver.own_days",
    pa.schema([("day", pa.date32()), ("number", pa.int64())]),
    window_column="day",
    key=("day",),
)
Build = Callable[[Window, str], pa.Table]


def numbers(of: Callable[[dt.date], int]) -> Build:
    def build(window: Window, ref: str) -> pa.Table:
        return pa.table({"day": window.days, "number": [of(day) for day in window.days]}, schema=TABLE.schema)

    return build


def refuse(window: Window, ref: str) -> pa.Table:
    raise ConfigError("the model is missing", next_step="approve one")


def own(build: Build) -> dg.Definitions:
    @dg.asset(deps=["dlt_days", "elsewhere"], partitions_def=DAYS, backfill_policy=SINGLE, code_version="1")
    def own_days(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from millpond.write_days(context, TABLE, build, metadata={"model": "a"})

    return dg.Definitions(
        assets=[
            daily("dlt_days", [], "raw"),
            own_days,
            daily("after", ["own_days"], "gold"),
            dg.AssetSpec("elsewhere"),
        ],
        jobs=[dg.define_asset_job(JOB, selection="*")],
    )


def made(recorded: dg.DagsterInstance, build: Build, selection: str = "own_days", **more: Any) -> RunOutcome:
    return materialize(selection, WEEK, definitions=own(build), instance=recorded, **more)


def states(recorded: dg.DagsterInstance, build: Build) -> dict[dt.date, State]:
    plan = make_plan("own_days", WEEK.days, instance=recorded, definitions=own(build), ref="main")
    return {item.partition: item.state for item in plan.items if item.partition}


def test_the_days_of_a_run_are_one_commit_and_have_a_version_each(recorded: dg.DagsterInstance) -> None:
    assert made(recorded, numbers(lambda day: day.day), "*").success
    table = read.load_table("main", "silver.own_days")
    assert (len(table.snapshots()), table.scan().count()) == (1, 7)
    before = read_latest(recorded, ["own_days"], "main")["own_days"]
    assert len({one.version for one in before.values()}) == 7
    (event,) = recorded.fetch_materializations(dg.AssetKey("own_days"), limit=1).records
    assert event.asset_materialization
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert {"rows": 1, "model": "a", "ref": "main"}.items() <= shown.items()

    assert made(recorded, numbers(lambda day: 0 if day == WEEK.last else day.day)).success
    after = read_latest(recorded, ["own_days"], "main")["own_days"]
    assert {day for day in before if before[day].version != after[day].version} == {WEEK.last}
    assert made(recorded, numbers(lambda day: 0 if day == WEEK.last else day.day)).success
    assert len(read.load_table("main", "silver.own_days").snapshots()) == 2


def test_days_are_stale_once_an_external_asset_that_they_read_changed(recorded: dg.DagsterInstance) -> None:
    build = numbers(lambda day: day.day)
    assert made(recorded, build, "*").success
    assert set(states(recorded, build).values()) == {State.FRESH}
    recorded.report_runless_asset_event(
        dg.AssetMaterialization("elsewhere", tags={"dagster/data_version": "model 2"})
    )
    assert set(states(recorded, build).values()) == {State.STALE}
    assert made(recorded, build).success
    assert set(states(recorded, build).values()) == {State.FRESH}


def test_days_are_planned_where_an_asset_upstream_has_other_partitions(recorded: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["red"]), metadata={OWN_PARTITIONS: True})
    def colours() -> None: ...

    build = numbers(lambda day: day.day)
    assets = [each for each in own(build).assets or () if not isinstance(each, dg.AssetSpec)]
    definitions = dg.Definitions(
        assets=[*assets, colours, dg.AssetSpec("elsewhere", deps=[colours])],
        jobs=[dg.define_asset_job(JOB, selection=["own_days"])],
    )
    recorded.report_runless_asset_event(dg.AssetMaterialization("colours", partition="red"))
    assert materialize("own_days", WEEK, definitions=definitions, instance=recorded).success
    plan = make_plan("own_days", WEEK.days, instance=recorded, definitions=definitions, ref="main")
    assert {item.state for item in plan.items} == {State.FRESH}
    assert read_latest(recorded, ["colours"], "main") == {"colours": {}}
    assert read_versions(recorded, ["colours"], "main") == {"colours": {}}


def test_an_error_leaves_the_table_as_it_is_and_says_what_to_do(recorded: dg.DagsterInstance) -> None:
    assert made(recorded, numbers(lambda day: day.day)).success
    outcome = made(recorded, refuse)
    assert not outcome.success
    assert read.count("main", "silver.own_days") == 7
    assert "the model is missing" in str(outcome)


def test_a_run_on_a_branch_writes_there_alone(recorded: dg.DagsterInstance) -> None:
    refs.create("dev")
    assert made(recorded, numbers(lambda day: day.day), ref="dev").success
    assert read.count("dev", "silver.own_days") == 7
    assert not read.exists("main", "silver.own_days")
    assert not recorded.fetch_materializations(dg.AssetKey("own_days"), limit=1).records
