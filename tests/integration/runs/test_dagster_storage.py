"""Dagster's storage of a home: there when asked for, and equal to Dagster's own where it is faster."""

import importlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from dagster import DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.event_api import EventLogRecord
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._serdes import deserialize_value, serialize_value

from millpond.instance import storage
from millpond.instance.home import dagster_home, open_instance
from millpond.instance.record import is_indexed
from millpond.runtime import postgres
from millpond.runtime.databases import connect_superuser, databases
from millpond.runtime.down import down
from millpond.runtime.home import Home
from millpond.settings import settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01")
FIRST, LAST = "2024-01-01", "2024-01-15"
KEYS = set(DAYS.get_partition_keys_in_range(dg.PartitionKeyRange(FIRST, LAST)))
RANGE = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST}
BATCH = 7


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 1}, data_version=dg.DataVersion("a"), tags={"owner": "x"})


@dg.multi_asset(
    specs=[
        dg.AssetSpec(name, deps=[first], partitions_def=DAYS, code_version="1", skippable=True)
        for name in ("left", "right")
    ],
    check_specs=[dg.AssetCheckSpec("bounds", asset="left"), dg.AssetCheckSpec("key", asset="right")],
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def both(context: dg.AssetExecutionContext) -> Iterator[Any]:
    for name, check in (("left", "bounds"), ("right", "key")):
        yield dg.MaterializeResult(name, data_version=dg.DataVersion(name))
        yield dg.AssetCheckResult(passed=name == "left", asset_key=name, check_name=check)


@dg.asset(deps=["left"], code_version="1")
def last() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(data_version=dg.DataVersion("z"))


@dg.asset(partitions_def=DAYS, deps=["right"], backfill_policy=dg.BackfillPolicy.single_run())
def failing() -> None:
    raise ValueError("no")


def run(recorded: dg.DagsterInstance) -> str:
    """Run all assets over 15 days: several batches of events per asset, some of more assets than one."""
    assets = [first, both, last, failing]
    job = dg.Definitions(assets=assets, jobs=[dg.define_asset_job("all", "*")]).resolve_job_def("all")
    return job.execute_in_process(instance=recorded, tags=RANGE, raise_on_error=False).run_id


def stored(connection: psycopg.Connection[Any], run_id: str) -> dict[str, list[Any]]:
    """Return what a run left in each table that pages and status are made of, without ids and times."""

    def plain(text: str) -> Any:
        return json.loads(re.sub(r'"(timestamp|duration_ms|process_id|pid)": [\d.]+', r'"\1": 0', text))

    def rows(question: str, *parameters: Any) -> list[Any]:
        return connection.execute(question, parameters).fetchall()  # type: ignore[arg-type]

    varying = ("dagster/input_event_pointer/", "dagster/data_version_is_user_provided")
    return {
        "planned": rows(
            "SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs WHERE run_id = %s AND"
            " dagster_event_type LIKE '%%PLANNED' ORDER BY id",
            run_id,
        ),
        "materialized": rows(
            "SELECT step_key, asset_key, partition FROM event_logs WHERE run_id = %s AND"
            " dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY id",
            run_id,
        ),
        "events": [
            (kind, plain(event)["dagster_event"]["event_specific_data"])
            for kind, event in rows(
                "SELECT dagster_event_type, event FROM event_logs WHERE run_id = %s AND (dagster_event_type"
                " LIKE '%%PLANNED' OR dagster_event_type = 'ASSET_OBSERVATION') ORDER BY id",
                run_id,
            )
        ],
        "other": rows(
            "SELECT dagster_event_type, count(*) FROM event_logs WHERE run_id = %s GROUP BY 1 ORDER BY 1",
            run_id,
        ),
        "assets": rows(
            "SELECT asset_key, last_run_id = %s, last_materialization IS NULL, last_materialization_timestamp"
            " IS NULL, (SELECT partition FROM event_logs e WHERE e.id = (last_materialization::json"
            " ->> 'storage_id')::bigint) FROM asset_keys ORDER BY 1",
            run_id,
        ),
        "tags": [
            row
            for row in rows(
                "SELECT t.asset_key, e.partition, key, value FROM asset_event_tags t JOIN event_logs e"
                " ON e.id = event_id WHERE run_id = %s ORDER BY 1, 2, 3",
                run_id,
            )
            if not row[2].startswith(varying)
        ],
        "checks": rows(
            "SELECT asset_key, check_name, execution_status, materialization_event_storage_id IS NULL"
            " FROM asset_check_executions WHERE run_id = %s ORDER BY 1, 2",
            run_id,
        ),
    }


def status(recorded: dg.DagsterInstance, asset: str) -> tuple[set[str], set[str]]:
    value = get_and_update_asset_status_cache_value(recorded, dg.AssetKey(asset), DAYS)
    assert value is not None
    return (
        set(value.deserialize_materialized_partition_subsets(DAYS).get_partition_keys()),
        set(value.deserialize_failed_partition_subsets(DAYS).get_partition_keys()),
    )


@pytest.fixture
def stock(home: Home, tmp_path: Path) -> Iterator[tuple[dg.DagsterInstance, psycopg.Connection[Any]]]:
    """Dagster's instance with its own Postgres storage, in a database of its own."""
    server = postgres.find_server(home)
    assert server is not None
    with connect_superuser(home, server, "postgres") as connection:
        connection.autocommit = True
        connection.execute("DROP DATABASE IF EXISTS stock WITH (FORCE)")
        connection.execute("CREATE DATABASE stock OWNER millpond_dagster")
        url = databases().dagster.uri.get_secret_value().replace("/dagster?", "/stock?")
        (tmp_path / "dagster.yaml").write_text(
            yaml.safe_dump({"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}})
        )
        with (
            dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as found,
            psycopg.connect(url) as sees,
        ):
            yield found, sees
        connection.execute("DROP DATABASE stock WITH (FORCE)")


def test_who_reads_finds_events_that_waited_for_others(home: Home) -> None:
    @dg.op
    def reads(context: dg.OpExecutionContext) -> list[str]:
        found = context.instance.all_logs(context.run_id)
        return [e.dagster_event_type.value for e in found if e.dagster_event_type is not None]

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        reads()

    with open_instance() as recorded:
        result = job.execute_in_process(instance=recorded)
    assert "STEP_START" in result.output_for_node("reads")


def test_events_written_in_batches_equal_those_that_dagster_writes_one_by_one(
    stock: tuple[dg.DagsterInstance, psycopg.Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, their_rows = stock
    expected = stored(their_rows, run(theirs))
    monkeypatch.setattr(storage, "EVENT_BATCH", BATCH)
    with open_instance() as ours, databases().dagster.connect() as our_rows:
        assert isinstance(ours, storage.HomeInstance)
        found = stored(our_rows, run(ours))
        assert len(expected["planned"]) > 4 * BATCH
        indexed = {row[2] for row in expected["tags"]}
        more = [row for row in found["tags"] if row[2] not in indexed]
        assert more
        assert all(is_indexed(row[2]) for row in more), "kept by row for plans of backfills"
        found["tags"] = [row for row in found["tags"] if row[2] in indexed]
        assert {kind: len(rows) for kind, rows in found.items()} == {k: len(r) for k, r in expected.items()}
        assert found == expected
        for asset in ("first", "left", "right", "failing"):
            assert status(ours, asset) == status(theirs, asset)
        assert status(ours, "first") == (KEYS, set())
        assert status(ours, "failing") == (set(), KEYS)


def test_the_last_materialization_of_an_asset_is_kept_as_dagster_writes_it(home: Home) -> None:
    with open_instance() as recorded, databases().dagster.connect() as connection:
        run(recorded)
        rows = connection.execute(
            "SELECT last_materialization, e.id, e.event FROM asset_keys a JOIN event_logs e"
            " ON e.id = (last_materialization::json ->> 'storage_id')::bigint"
        ).fetchall()
    assert len(rows) == 4
    for kept, number, event in rows:
        assert kept == serialize_value(EventLogRecord(number, deserialize_value(event, dg.EventLogEntry)))


def report_checks(recorded: dg.DagsterInstance) -> None:
    """Report results without a run, of a run that planned one check only, and of one check twice."""
    left = dg.AssetKey("left")
    for passed in (False, True):
        recorded.report_runless_asset_event(dg.AssetCheckEvaluation(left, "bounds", passed, {}))
    planned = dg.DagsterEvent(
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        "job",
        event_specific_data=AssetCheckEvaluationPlanned(asset_key=left, check_name="bounds"),
    )
    results = [
        dg.DagsterEvent(
            DagsterEventType.ASSET_CHECK_EVALUATION.value,
            "job",
            event_specific_data=dg.AssetCheckEvaluation(left, name, passed, {}),
        )
        for name, passed in (("bounds", False), ("bounds", True), ("key", False), ("key", True))
    ]
    for event in (planned, *results):
        recorded.event_log_storage.store_event(
            dg.EventLogEntry(None, 10, "", "a run", time.time(), dagster_event=event)
        )


def test_results_of_checks_are_kept_as_dagster_keeps_them_also_if_nothing_was_planned(
    stock: tuple[dg.DagsterInstance, psycopg.Connection[Any]],
) -> None:
    theirs, their_rows = stock
    question = (
        "SELECT asset_key, check_name, run_id, execution_status, partition, evaluation_event_storage_id"
        " = (SELECT max(id) FROM event_logs e WHERE e.event = evaluation_event) FROM asset_check_executions"
        " ORDER BY id"
    )
    report_checks(theirs)
    with open_instance() as ours, databases().dagster.connect() as our_rows:
        report_checks(ours)
        ours.event_log_storage.get_records_for_run("a run")
        found = our_rows.execute(question).fetchall()
    assert found == their_rows.execute(question).fetchall()
    assert len(found) == 4
    assert [row[3] for row in found] == ["FAILED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("dagster_storage", ("HomeInstance", "HomeStorage")),
        ("dagster_files", ("HomeArtifacts", "HomeComputeLogs")),
        ("daemon", ("main",)),
    ],
)
def test_files_of_projects_made_before_name_what_is_there(module: str, names: tuple[str, ...]) -> None:
    former = importlib.import_module(f"millpond.resources.{module}")
    for name in names:
        assert getattr(former, name).__module__.startswith("millpond.instance.")


def test_the_instance_starts_postgres_and_survives_its_restart(home: Home) -> None:
    down(settings())
    with open_instance() as recorded:
        assert recorded.get_runs() == []
        down(settings())
        assert recorded.get_runs() == []
        assert recorded.event_log_storage.get_asset_records() == []


def test_no_secret_and_no_address_stands_in_dagsters_configuration(home: Home) -> None:
    with open_instance() as recorded:
        shown = recorded.info_str() + json.dumps(recorded.get_ref().to_dict(), default=str)
    assert databases().dagster.password.get_secret_value() not in shown
    assert "postgresql://" not in shown


def test_logs_and_files_lie_below_the_home_and_telemetry_is_off(home: Home) -> None:
    with open_instance() as recorded:
        assert recorded.telemetry_enabled is False
        assert recorded.nux_enabled is False
        assert Path(recorded.root_directory) == home.dagster
        assert str(recorded.compute_log_manager._base_dir).startswith(str(home.dagster))
        assert recorded.run_monitoring_enabled
        assert recorded.run_monitoring_max_runtime_seconds
        assert recorded.get_settings("run_monitoring")["free_slots_after_run_end_seconds"]
        assert recorded.global_op_concurrency_default_limit == 1


def test_the_configuration_follows_the_projects(home: Home) -> None:
    target = dagster_home(settings()) / "dagster.yaml"
    source = settings().project / "dagster.yaml"
    assert target.read_bytes() == source.read_bytes()
    before = target.stat().st_ino
    dagster_home(settings())
    assert target.stat().st_ino == before, "an unchanged file is left alone"
    target.write_text("# stale")
    dagster_home(settings())
    assert target.read_bytes() == source.read_bytes()


def test_the_instance_is_opened_again_without_a_connection_more(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_instance() as first:
        assert first.get_runs_count() == 0
    monkeypatch.setattr("psycopg2.connect", None)
    with open_instance() as again:
        assert again.get_runs_count() == 0
