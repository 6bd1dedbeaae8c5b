from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContext

import raw_rows
from millpond.lake import refs
from millpond.partitions import Window
from millpond.resources.run import FULL_REFRESH_TAG, REF_TAG
from millpond.runtime.home import Home
from millpond.transform.assets import build_assets
from raw_rows import Rows

FIRST = dt.date(2026, 3, 1)
WINDOW = Window.of_days(FIRST, FIRST + dt.timedelta(days=2))
RANGE = {
    "dagster/asset_partition_range_start": str(WINDOW.start),
    "dagster/asset_partition_range_end": str(WINDOW.last),
}
CLIMATE = (
    "dim_date",
    "stg_climate_entries",
    "fct_climate_readings",
    "mrt_climate_readings",
    "fct_daily_climate_metrics",
    "mrt_climate_overview",
)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def assets() -> list[dg.AssetsDefinition]:
    return build_assets()


@pytest.fixture
def definitions(assets: list[dg.AssetsDefinition]) -> dg.Definitions:
    days = next(spec.partitions_def for a in assets for spec in a.specs if spec.partitions_def)
    raw = [dg.AssetSpec(name, partitions_def=days) for name in ("dlt_climate_entries", "dlt_market_events")]
    every = dg.AssetSelection.assets(*(key for a in assets for key in a.keys))
    return dg.Definitions(
        assets=[*assets, *raw],
        jobs=[dg.define_asset_job("models", selection=every)],
        executor=dg.in_process_executor,
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(home: Home, definitions: dg.Definitions, instance: dg.DagsterInstance) -> Run:
    """Return a function that runs the job of some models of climate, or of those named."""
    raw_rows.load(WINDOW, raw_rows.random_entries(WINDOW, 1), raw_rows.random_events(WINDOW, 1))

    def ran(*names: str, **more: Any) -> dg.ExecuteInProcessResult:
        selection = [dg.AssetKey(name) for name in names or CLIMATE]
        return definitions.resolve_job_def("models").execute_in_process(
            instance=instance, run_config=QUIET, raise_on_error=False, asset_selection=selection, **more
        )

    return ran


def _materialized(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], dg.AssetMaterialization]:
    events = (event.materialization for event in result.get_asset_materialization_events())
    return {(m.asset_key.to_user_string(), m.partition): m for m in events}


def test_models_have_plain_keys_and_layers_as_groups(assets: list[dg.AssetsDefinition]) -> None:
    specs = {spec.key.to_user_string(): spec for a in assets for spec in a.specs}
    assert specs["dim_date"].group_name == "gold"
    readings = specs["fct_climate_readings"]
    assert (readings.group_name, readings.owners, readings.tags["layer"]) == (
        "silver",
        ["team:growing"],
        "silver",
    )
    assert readings.kinds == {"dbt", "duckdb", "iceberg"}
    assert readings.code_version
    assert "previous reading of the same device" in (readings.description or "")
    columns = {column.name: column for column in readings.metadata["dagster/column_schema"].columns}
    assert (columns["hour_of_day"].type, columns["entry_id"].constraints.unique) == ("bigint", True)
    assert [d.asset_key.to_user_string() for d in specs["stg_climate_entries"].deps] == [
        "dlt_climate_entries"
    ]


def test_checks_block_where_their_severity_is_error(assets: list[dg.AssetsDefinition]) -> None:
    checks = {spec.name: spec for a in assets for spec in a.check_specs}
    assert checks["fct_climate_readings_key"].blocking
    assert not checks["fct_climate_readings_known_direction"].blocking
    assert all(check.description for check in checks.values())


def test_a_range_is_one_run_with_an_event_and_a_data_version_for_each_day(run: Run) -> None:
    result = run(tags=RANGE)
    assert result.success
    found = _materialized(result)
    assert len([key for key in found if key[0] == "fct_climate_readings"]) == len(WINDOW)
    versions = {found["fct_climate_readings", str(day)].tags["dagster/data_version"] for day in WINDOW.days}
    assert len(versions) == len(WINDOW)
    metadata = {k: v.value for k, v in found["stg_climate_entries", str(FIRST)].metadata.items()}
    assert metadata["partition"] == str(FIRST)
    assert {"rows", "seconds", "snapshot_id"} <= set(metadata)
    whole = {k: v.value for k, v in found["mrt_climate_overview", None].metadata.items()}
    assert whole["rows"] > 0
    assert {check.check_name for check in result.get_asset_check_evaluations()} >= {
        "dim_date_key",
        "stg_climate_entries_key",
    }


def test_what_is_built_whole_runs_without_days_also_where_it_reads_what_a_daily_model_looks_back_on(
    run: Run, definitions: dg.Definitions
) -> None:
    graph = definitions.resolve_asset_graph()
    looks_back = graph.get(dg.AssetKey("fct_climate_readings")).partition_mappings
    assert dg.AssetKey("stg_climate_entries") in looks_back
    assert run("stg_climate_entries", "fct_climate_readings", partition_key=str(FIRST)).success
    whole = run("device_versions", "dim_device")
    assert whole.success
    assert _materialized(whole).keys() == {("device_versions", None), ("dim_device", None)}


def test_a_full_refresh_replaces_tables_whole_and_records_each_day(run: Run) -> None:
    before = _materialized(run(tags=RANGE))
    result = run("fct_climate_readings", tags=RANGE | {FULL_REFRESH_TAG: "true"})
    assert result.success
    found = _materialized(result)
    assert set(found) == {("fct_climate_readings", str(day)) for day in WINDOW.days}
    for key, event in found.items():
        assert event.tags["dagster/data_version"] == before[key].tags["dagster/data_version"], key
    partly = run("fct_climate_readings", partition_key=str(WINDOW.days[1]), tags={FULL_REFRESH_TAG: "true"})
    assert not partly.success
    assert _materialized(partly) == {}


def test_a_day_built_again_has_the_data_version_it_had_in_the_range(run: Run) -> None:
    before, again = _materialized(run(tags=RANGE)), _materialized(run(partition_key=str(FIRST)))
    for key, event in again.items():
        assert event.tags["dagster/data_version"] == before[key].tags["dagster/data_version"], key


def test_a_corrected_day_leaves_nothing_stale_not_even_the_day_after(
    run: Run, definitions: dg.Definitions, instance: dg.DagsterInstance, table: Callable[..., Rows]
) -> None:
    run(tags=RANGE)
    day, after = WINDOW.days[0], WINDOW.days[1]
    evening = dt.datetime.combine(day, dt.time(23, 59), dt.UTC)
    raw_rows.load(Window.of_day(day), [raw_rows.entry("corrected", evening, 333)])
    events = _materialized(run(partition_key=str(day)))
    assert ("fct_climate_readings", str(after)) in events
    assert ("stg_climate_entries", str(after)) not in events
    status = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), _Loading(instance))
    for name in ("fct_climate_readings", "mrt_climate_readings", "fct_daily_climate_metrics"):
        for partition in WINDOW.days:
            assert status.get_status(dg.AssetKey(name), str(partition)).value == "FRESH", (name, partition)


def test_the_day_after_a_changed_day_is_stale_until_it_is_built(
    run: Run, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    run(tags=RANGE)
    day, after = WINDOW.days[0], WINDOW.days[1]
    raw_rows.load(
        Window.of_day(day), [raw_rows.entry("corrected", dt.datetime.combine(day, dt.time(23), dt.UTC), 333)]
    )
    run("stg_climate_entries", partition_key=str(day))
    status = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), _Loading(instance))
    stale = {d: status.get_status(dg.AssetKey("fct_climate_readings"), str(d)).value for d in WINDOW.days}
    assert stale == {day: "STALE", after: "STALE", WINDOW.last: "FRESH"}


def test_a_failed_audit_shows_the_check_and_materializes_nothing(run: Run) -> None:
    noon = dt.datetime.combine(FIRST, dt.time(12), dt.UTC)
    raw_rows.load(Window.of_day(FIRST), [raw_rows.entry("a", noon, 100), raw_rows.entry("a", noon, 101)])
    result = run("stg_climate_entries", partition_key=str(FIRST))
    assert not result.success
    assert _materialized(result) == {}
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.metadata["failures"].value) for check in failed] == [
        ("stg_climate_entries_key", 1)
    ]
    assert failed[0].metadata["samples"].value == [{"entry_id": "a", "rows_with_this_key": 2}]
    (step,) = result.filter_events(lambda event: event.is_step_failure)
    failure = step.step_failure_data.user_failure_data
    assert "check stg_climate_entries_key of stg_climate_entries failed for 1 row" in failure.description
    assert failure.metadata["branch"].value in {ref.name for ref in refs.list_refs()}


def test_the_calendar_is_not_built_again_while_it_is_the_same(run: Run) -> None:
    first, second = _materialized(run("dim_date")), run("dim_date")
    again = _materialized(second)["dim_date", None]
    assert again.metadata["snapshot_id"] == first["dim_date", None].metadata["snapshot_id"]
    assert {check.check_name: check.passed for check in second.get_asset_check_evaluations()} == {
        "dim_date_key": True,
        "dim_date_in_bounds": True,
    }
    assert len(refs.list_refs()) == 1


def test_a_run_on_another_ref_leaves_main_alone(run: Run, table: Callable[..., Rows]) -> None:
    refs.create("dev")
    result = run(tags=RANGE | {REF_TAG: "dev"})
    assert result.success
    assert table("gold.mrt_climate_overview", "reading_date", ref="dev")
    from millpond.lake import read

    assert not read.exists("main", "gold.mrt_climate_overview")
    assert _materialized(result)["mrt_climate_overview", None].metadata["ref"].value == "dev"


class _Loading(LoadingContext):
    """What the resolver of stale partitions asks for outside of a web server."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._loaders = instance, {}

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[Any, Any]:
        return self._loaders
