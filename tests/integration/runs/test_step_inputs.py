"""Versions of inputs and targets of checks are read in fewer statements, and are those that Dagster reads."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType

from millpond.instance import load_events
from millpond.instance.home import open_instance
from millpond.instance.load_events import read_newest_events
from millpond.partitions import Window, parse_day
from millpond.runtime.home import Home

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01")
FEW = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-01-20")
DAY, NEXT = "2024-01-05", "2024-01-06"
BACK = dg.TimeWindowPartitionMapping(start_offset=-2, end_offset=0)


@dg.asset(partitions_def=DAYS, code_version="1")
def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    version = dg.DataVersion(f"daily {context.partition_key}")
    return dg.MaterializeResult(data_version=version, metadata={"ref": "main", "rows": 2})


@dg.asset(partitions_def=FEW, code_version="1")
def few(context: dg.AssetExecutionContext) -> None:
    context.add_asset_metadata({"rows": 1})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "one",
            deps=[dg.AssetDep("daily", partition_mapping=BACK), "few", "outside", "never"],
            code_version="1",
        ),
        dg.AssetSpec("two", deps=["one", dg.AssetDep("daily", partition_mapping=BACK)], code_version="1"),
    ],
    partitions_def=DAYS,
    check_specs=[dg.AssetCheckSpec("bounds", asset="one"), dg.AssetCheckSpec("key", asset="two")],
)
def both() -> Iterator[Any]:
    for name, check in (("one", "bounds"), ("two", "key")):
        yield dg.MaterializeResult(name)
        yield dg.AssetCheckResult(passed=True, asset_key=name, check_name=check)


@dg.asset(
    deps=["few", "daily", "outside"],
    code_version="1",
    check_specs=[dg.AssetCheckSpec("whole_key", asset="whole")],
)
def whole() -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="whole_key")])


@dg.asset_check(asset="daily")
def complete() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


OUTSIDE = [dg.AssetSpec("outside"), dg.AssetSpec("never")]


def run_days(recorded: dg.DagsterInstance) -> None:
    """Run what has days on several of them, with an input observed in between and one that is wiped."""
    found = dg.Definitions(assets=[daily, few, both, whole, *OUTSIDE], asset_checks=[complete])
    job = found.resolve_implicit_global_asset_job_def()

    def run(assets: list[str], **given: Any) -> None:
        keys = [dg.AssetKey(name) for name in assets]
        assert job.execute_in_process(instance=recorded, asset_selection=keys, **given).success

    dated = ["daily", "one", "two"]
    run(["few"], partition_key=DAY)
    run(dated, partition_key=DAY)
    run(["whole"])
    recorded.report_runless_asset_event(dg.AssetObservation("outside", tags={"dagster/data_version": "seen"}))
    run(["few"], partition_key=NEXT)
    run(dated, partition_key=NEXT)
    recorded.report_runless_asset_event(dg.AssetMaterialization("outside", metadata={"no": "version"}))
    run(["whole"])
    recorded.report_runless_asset_event(
        dg.AssetMaterialization("outside", tags={"dagster/data_version": "reported"})
    )
    run(["one", "two"], partition_key=DAY)
    recorded.wipe_assets([dg.AssetKey("daily")])
    run(["one", "two"], partition_key=DAY)
    run(["daily"], partition_key=NEXT)
    run(dated[1:], partition_key=NEXT)
    run(["whole"])


def read_links(recorded: dg.DagsterInstance) -> list[Any]:
    """Return the tags of each materialization and the target of each check, with events by their place."""
    kinds = (
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_CHECK_EVALUATION,
    )
    records = [
        record
        for kind in kinds
        for record in recorded.event_log_storage.get_event_records(dg.EventRecordsFilter(kind))
    ]
    records.sort(key=lambda record: record.storage_id)
    place = {str(record.storage_id): at for at, record in enumerate(records)} | {"NULL": -1}
    found: list[Any] = []
    for record in records:
        entry = record.event_log_entry
        if made := entry.asset_materialization or entry.asset_observation:
            tags = {
                name: place[value] if "event_pointer" in name else value
                for name, value in (made.tags or {}).items()
            }
            found.append((made.asset_key.to_user_string(), made.partition, tags))
        else:
            result = entry.asset_check_evaluation
            assert result is not None
            target = result.target_materialization_data
            if target:
                of = next(one for one in records if one.storage_id == target.storage_id)
                assert (target.run_id, target.timestamp) == (of.run_id, of.timestamp)
            found.append((result.check_name, target and place[str(target.storage_id)]))
    return found


def test_steps_read_the_versions_and_targets_that_dagster_reads(home: Home, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as theirs:
        run_days(theirs)
        expected = read_links(theirs)
    with open_instance() as ours:
        run_days(ours)
        found = read_links(ours)
    assert found == expected
    assert {type(target) for name, target in (each for each in found if len(each) == 2)} >= {int}


def test_the_newest_loads_of_days_are_those_that_dagster_finds(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = dg.Definitions(assets=[daily]).resolve_implicit_global_asset_job_def()
    window, key = Window.parse(f"{DAY}...2024-01-07"), dg.AssetKey("daily")
    days = [parse_day(DAY), parse_day(NEXT)]

    def read(*expected: dt.date) -> None:
        found = read_newest_events(recorded, key, window, "main")
        assert sorted(found) == sorted(expected)
        with monkeypatch.context() as patched:
            patched.setattr(load_events, "_read_newest", lambda *_: [])
            assert read_newest_events(recorded, key, window, "main") == found

    with open_instance() as recorded:
        for day in (DAY, NEXT, DAY):
            assert job.execute_in_process(instance=recorded, partition_key=day).success
        read(*days)
        recorded.wipe_assets([key])
        read()
        assert job.execute_in_process(instance=recorded, partition_key=NEXT).success
        read(days[1])
