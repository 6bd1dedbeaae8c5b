"""What runs do on a branch is seen in Dagster as such, and counts for main once the branch is merged."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from millpond.instance.home import open_instance
from millpond.instance.promotion import MERGED_TAG, promote_observations
from millpond.lake import refs
from millpond.partitions import Window
from millpond.resources.run import REF_TAG, RunInfo
from millpond.runs.run import JOB, materialize
from millpond.runtime.home import Home
from millpond.settings import Settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
SINGLE = dg.BackfillPolicy.single_run()
MON, TUE, WED = (dt.date(2026, 10, n) for n in (5, 6, 7))
LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
rows: dict[str, int] = {}
broken: set[str] = set()


@dg.asset(name="dlt_days", partitions_def=DAYS, backfill_policy=SINGLE, group_name="raw")
def loaded(context: dg.AssetExecutionContext) -> Iterator[Any]:
    ref = RunInfo.of(context).ref
    if ref in broken:
        raise dg.Failure("the source is down", allow_retries=False)
    for key in context.partition_keys:
        context.add_asset_metadata({"rows_loaded": rows.get(ref, 1), "snapshot_id": "7"}, partition_key=key)
    yield dg.MaterializeResult(data_version=dg.DataVersion(f"version of {ref}"), tags={"team": "health"})


@dg.asset(key=["marts", "mrt_days"], deps=[loaded], group_name="marts")
def mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows_postgres": 1, "ref": RunInfo.of(context).ref})


@dg.asset_check(asset=loaded)
def plenty() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not broken, severity=dg.AssetCheckSeverity.WARN)


DEFINITIONS = dg.Definitions(
    assets=[loaded, mart], asset_checks=[plenty], jobs=[dg.define_asset_job(JOB, selection="*")]
)
KEY, MART = dg.AssetKey("dlt_days"), dg.AssetKey(["marts", "mrt_days"])


@pytest.fixture
def recorded(home: Home) -> Iterator[dg.DagsterInstance]:
    rows.clear()
    broken.clear()
    with open_instance() as found:
        yield found


def run(recorded: dg.DagsterInstance, ref: str, first: dt.date, last: dt.date | None = None) -> Any:
    window = Window.of_days(first, last or first)
    return materialize("*", window, definitions=DEFINITIONS, instance=recorded, ref=ref)


def status(recorded: dg.DagsterInstance) -> tuple[set[str], set[str], set[str]]:
    """Return the partitions that Dagster's pages show as materialized, failed and in progress."""
    value = get_and_update_asset_status_cache_value(recorded, KEY, DAYS)
    assert value is not None
    return (
        set(value.deserialize_materialized_partition_subsets(DAYS).get_partition_keys()),
        set(value.deserialize_failed_partition_subsets(DAYS).get_partition_keys()),
        set(value.deserialize_in_progress_partition_subsets(DAYS).get_partition_keys()),
    )


def checks(recorded: dg.DagsterInstance) -> list[str]:
    """Return the ids of the runs whose results count for the check, latest first."""
    key = dg.AssetCheckKey(KEY, "plenty")
    found = recorded.event_log_storage.get_asset_check_execution_history(key, limit=10)
    return [record.run_id for record in found]


def observed(recorded: dg.DagsterInstance, key: dg.AssetKey = KEY) -> list[tuple[str | None, Any]]:
    records = recorded.fetch_observations(key, limit=100).records
    seen = [record.asset_observation for record in records]
    return sorted((o.partition, o.metadata["ref"].value) for o in seen if o)


def materialized(recorded: dg.DagsterInstance) -> dict[str | None, dict[str, Any]]:
    """Return the metadata of the last materialization of each day."""
    records = recorded.fetch_materializations(KEY, limit=100).records
    made = [record.asset_materialization for record in reversed(records)]
    return {m.partition: {name: v.value for name, v in m.metadata.items()} for m in made if m}


def test_a_run_on_a_branch_leaves_the_status_of_main_alone(recorded: dg.DagsterInstance) -> None:
    on_main = run(recorded, "main", MON)
    before = recorded.get_asset_records([KEY])[0].asset_entry
    outcome = run(recorded, "dev", TUE, WED)
    assert outcome.success
    assert [(a.asset, a.partitions) for a in outcome.assets] == [("dlt_days", 2), ("marts/mrt_days", 1)]
    assert status(recorded) == ({str(MON)}, set(), set())
    after = recorded.get_asset_records([KEY])[0].asset_entry
    assert after.last_materialization_record == before.last_materialization_record
    assert after.last_run_id == before.last_run_id == on_main.run_id
    assert checks(recorded) == [on_main.run_id]


def test_what_it_did_is_seen_as_observations_with_its_ref(recorded: dg.DagsterInstance) -> None:
    outcome = run(recorded, "dev", TUE, WED)
    assert observed(recorded) == [(str(TUE), "dev"), (str(WED), "dev")]
    assert observed(recorded, MART) == [(None, "dev")]
    found = recorded.get_run_by_id(outcome.run_id)
    assert found is not None
    assert found.tags[REF_TAG] == "dev"
    logged = recorded.all_logs(outcome.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert len(logged) == 1, "the run's own page shows the result of the check"


def test_a_failure_on_a_branch_does_not_turn_main_red(recorded: dg.DagsterInstance) -> None:
    on_main = run(recorded, "main", MON)
    broken.add("dev")
    assert not run(recorded, "dev", MON, TUE).success
    assert status(recorded) == ({str(MON)}, set(), set())
    assert checks(recorded) == [on_main.run_id]
    broken.add("main")
    assert not run(recorded, "main", TUE).success
    assert status(recorded) == ({str(MON)}, {str(TUE)}, set())


def test_a_run_without_the_tag_is_on_the_ref_of_the_settings(
    recorded: dg.DagsterInstance, configure: Any
) -> None:
    settings: Settings = configure(ref="dev")
    assert settings.ref == "dev"
    job = DEFINITIONS.resolve_job_def(JOB)
    result = job.execute_in_process(instance=recorded, tags={"dagster/partition": str(MON)})
    assert observed(recorded) == [(str(MON), "dev")]
    assert materialized(recorded) == {}
    found = recorded.get_run_by_id(result.run_id)
    assert found is not None
    assert found.tags[REF_TAG] == "dev"


def test_after_a_merge_the_last_of_each_day_counts_for_main(recorded: dg.DagsterInstance) -> None:
    run(recorded, "main", MON)
    refs.create("dev")
    rows["dev"] = 2
    run(recorded, "dev", MON, TUE)
    rows["dev"] = 3
    last = run(recorded, "dev", TUE, WED)
    assert promote_observations(recorded, "dev", "main", since=LONG_AGO, but=("marts",)) == 3
    assert status(recorded) == ({str(MON), str(TUE), str(WED)}, set(), set())
    now = materialized(recorded)
    assert {day: made["rows_loaded"] for day, made in now.items()} == {str(MON): 2, str(TUE): 3, str(WED): 3}
    assert (now[str(TUE)]["ref"], now[str(TUE)]["merged_from"]) == ("main", "dev")
    event = recorded.get_latest_materialization_event(KEY)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.tags is not None
    assert event.asset_materialization.tags["dagster/data_version"] == "version of dev"
    assert recorded.get_latest_materialization_event(MART) is not None
    assert observed(recorded, MART) == [(None, "dev")] * 2, "marts of dev are not those of main"
    found = recorded.get_run_by_id(last.run_id)
    assert found is not None
    assert found.tags[MERGED_TAG] == "main"


def test_runs_of_an_older_branch_of_that_name_do_not_count(recorded: dg.DagsterInstance) -> None:
    run(recorded, "dev", MON)
    refs.create("dev")
    assert promote_observations(recorded, "dev", "main", since=refs.get_branch("dev").created_at) == 0
    run(recorded, "dev", TUE)
    assert (
        promote_observations(recorded, "dev", "main", since=refs.get_branch("dev").created_at, but=("marts",))
        == 1
    )
    assert set(materialized(recorded)) == {str(TUE)}


def test_what_was_told_once_is_not_told_again(recorded: dg.DagsterInstance) -> None:
    run(recorded, "dev", MON)
    assert promote_observations(recorded, "dev", "main", since=LONG_AGO) == 2
    assert promote_observations(recorded, "dev", "main", since=LONG_AGO) == 0


def test_a_branch_of_a_branch_counts_for_main_when_both_are_merged(recorded: dg.DagsterInstance) -> None:
    run(recorded, "feature", MON)
    assert promote_observations(recorded, "feature", "dev", since=LONG_AGO) == 0
    assert materialized(recorded) == {}
    run(recorded, "dev", TUE)
    assert promote_observations(recorded, "dev", "main", since=LONG_AGO, but=("marts",)) == 2
    assert set(materialized(recorded)) == {str(MON), str(TUE)}


def test_snapshots_are_not_named_where_the_tables_were_rebased(recorded: dg.DagsterInstance) -> None:
    run(recorded, "dev", MON)
    promote_observations(recorded, "dev", "main", since=LONG_AGO, rebased=True)
    assert "snapshot_id" not in materialized(recorded)[str(MON)]
