"""One run over a window: what Dagster records, what the caller learns, what a failure does to the rest."""

import os
import signal
from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.snap import JobSnap
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from daily_assets import DAYS, WEEK, broken, seen

from millpond.errors import SourceRefused
from millpond.partitions import Window
from millpond.runs.progress import Progress
from millpond.runs.run import JOB, materialize
from millpond.settings import Settings


def status(recorded: dg.DagsterInstance, asset: str) -> tuple[set[str], set[str]]:
    """Return the partitions that Dagster's pages show as materialized and as failed."""
    value = get_and_update_asset_status_cache_value(recorded, dg.AssetKey(asset), DAYS)
    assert value is not None
    return (
        set(value.deserialize_materialized_partition_subsets(DAYS).get_partition_keys()),
        set(value.deserialize_failed_partition_subsets(DAYS).get_partition_keys()),
    )


WEEK_KEYS = {str(day) for day in WEEK.days}


def test_a_range_is_one_run_with_one_materialization_per_partition(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    outcome = materialize("*", WEEK, definitions=definitions, instance=recorded)
    assert outcome.success
    assert [r.run_id for r in recorded.get_runs()] == [outcome.run_id]
    for asset in ("dlt_days", "dlt_other", "silver"):
        assert status(recorded, asset) == (WEEK_KEYS, set())
        events = recorded.fetch_materializations(dg.AssetKey(asset), limit=100).records
        assert sorted(e.partition_key or "" for e in events) == sorted(WEEK_KEYS)
    marts = recorded.fetch_materializations(dg.AssetKey(["marts", "mrt_days"]), limit=100).records
    assert [m.partition_key for m in marts] == [None]
    windows = {name: info.window for name, info in seen}
    assert windows == {"dlt_days": WEEK, "dlt_other": WEEK, "silver": WEEK, "mart": None}
    assert {info.ref for _, info in seen} == {"main"}
    run = recorded.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.job_name == JOB
    assert run.tags["millpond/ref"] == "main"


def test_a_single_day_is_recorded_as_dagster_records_it(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    outcome = materialize("dlt_days*", Window.of_day(WEEK.start), definitions=definitions, instance=recorded)
    run = recorded.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.tags["dagster/partition"] == str(WEEK.start)
    assert status(recorded, "silver") == ({str(WEEK.start)}, set())


def test_runs_of_the_same_assets_describe_their_part_of_the_job_once(
    definitions: dg.Definitions, recorded: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[set[str]] = []
    describe = JobSnap.from_job_def

    def count(job: dg.JobDefinition) -> JobSnap:
        described.append({key.to_user_string() for key in job.asset_layer.executable_asset_keys})
        return describe(job)

    monkeypatch.setattr(JobSnap, "from_job_def", count)
    every = {"dlt_days", "dlt_other", "silver", "marts/mrt_days"}
    for selection in ("dlt_days,silver", "dlt_days,silver", "*", "dlt_days,silver"):
        assert materialize(selection, WEEK, definitions=definitions, instance=recorded).success
    assert described == [{"dlt_days", "silver"}, every, every, every]
    last, _, second, first = recorded.get_runs()
    assert first.job_snapshot_id == second.job_snapshot_id == last.job_snapshot_id
    assert last.asset_selection == {dg.AssetKey("dlt_days"), dg.AssetKey("silver")}


def test_the_outcome_counts_partitions_and_rows_and_seconds(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    outcome = materialize("dlt_days,marts/mrt_days", WEEK, definitions=definitions, instance=recorded)
    days, mart_ = outcome.assets
    assert (days.asset, days.partitions, days.rows) == ("dlt_days", 7, 70)
    assert days.numbers["rows_quarantined"] == 7
    assert (mart_.asset, mart_.partitions, mart_.rows, mart_.seconds) == ("marts/mrt_days", 1, 7, 0.25)
    (check,) = outcome.checks
    assert (check.asset, check.check, check.passed, check.warning) == (
        "marts/mrt_days",
        "equals_lake",
        False,
        True,
    )


def test_progress_is_told_per_partition_as_it_happens(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    told: list[Progress] = []

    def listen(progress: Progress) -> None:
        told.append(progress)

    def upstream_was_told() -> None:
        assert sum(p.kind == "materialized" and p.asset == "dlt_days" for p in told) == 7

    broken["silver"] = upstream_was_told
    outcome = materialize("dlt_days*", WEEK, definitions=definitions, instance=recorded, on_event=listen)
    assert outcome.success, outcome.failures
    first = next(p for p in told if p.kind == "materialized")
    assert (first.asset, first.partition, first.rows) == ("dlt_days", "2026-10-01", 10)
    assert told[0] == Progress("started", ("dlt_days",))


def test_a_failure_is_told_in_its_own_words_and_leaves_the_others_alone(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    materialize("*", Window.of_day(WEEK.start), definitions=definitions, instance=recorded)

    def refuse() -> None:
        raise SourceRefused("the source says 401", unharmed="all", next_step="set a token") from ValueError(
            "x"
        )

    broken["dlt_days"] = refuse
    outcome = materialize("*", WEEK, definitions=definitions, instance=recorded)
    assert not outcome.success
    (failure,) = outcome.failures
    assert failure.assets == ("dlt_days",)
    assert failure.message == "the source says 401\nUnharmed: all\nNext: set a token"
    assert {a.asset for a in outcome.assets} == {"dlt_other"}
    assert set(outcome.missing) == {"dlt_days", "silver", "marts/mrt_days"}
    assert status(recorded, "dlt_other") == (WEEK_KEYS, set())
    assert status(recorded, "dlt_days") == ({str(WEEK.start)}, WEEK_KEYS)
    assert status(recorded, "silver")[0] == {str(WEEK.start)}
    broken.clear()
    assert materialize("*", WEEK, definitions=definitions, instance=recorded).success
    assert status(recorded, "dlt_days") == (WEEK_KEYS, set())
    assert status(recorded, "silver") == (WEEK_KEYS, set())


def test_a_step_that_failed_for_the_last_time_says_why(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    def refuse() -> None:
        raise dg.Failure("the source is down")

    broken["dlt_other"] = refuse
    (failure,) = materialize("dlt_other", WEEK, definitions=definitions, instance=recorded).failures
    assert failure.message == "the source is down"


@pytest.mark.parametrize("asset", ["dlt_days", "dlt_other"], ids=["plain", "with a retry policy"])
def test_an_interrupt_cancels_the_run_and_reaches_the_caller(
    asset: str, definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    broken[asset] = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        materialize(f"{asset}*", WEEK, definitions=definitions, instance=recorded)
    (run,) = recorded.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert [name for name, _ in seen] == [asset]


def test_a_run_on_another_ref_says_so(
    definitions: dg.Definitions, recorded: dg.DagsterInstance, configure: Callable[..., Settings]
) -> None:
    configure(ref="dev")
    materialize("dlt_days", WEEK, definitions=definitions, instance=recorded)
    materialize("dlt_days", WEEK, definitions=definitions, instance=recorded, ref="trial")
    assert [info.ref for _, info in seen] == ["dev", "trial"]
    assert [r.tags["millpond/ref"] for r in recorded.get_runs()] == ["trial", "dev"]


def test_what_a_run_prints_reaches_the_terminal_whole(
    definitions: dg.Definitions, recorded: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    broken["dlt_days"] = lambda: print("printed by the step")

    def listen(progress: Progress) -> None:
        print(progress.kind, progress.partition)

    materialize(
        "dlt_days", Window.of_day(WEEK.start), definitions=definitions, instance=recorded, on_event=listen
    )
    assert capfd.readouterr() == ("started None\nprinted by the step\nmaterialized 2026-10-01\n", "")


def test_dagsters_pages_list_a_run_of_a_command_under_its_code_location(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget
    from dagster_graphql.schema import create_schema

    done = materialize("dlt_days", WEEK, instance=recorded, definitions=definitions)
    query = (
        "query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results {"
        " id jobName repositoryOrigin { repositoryName repositoryLocationName } } } } }"
    )
    of_the_job = {
        "pipelineName": JOB,
        "tags": [{"key": ".dagster/repository", "value": "__repository__@millpond"}],
    }
    with WorkspaceProcessContext(recorded, EmptyWorkspaceTarget()) as workspace:
        for filters in ({"createdAfter": 0.0}, of_the_job):  # the home page's timeline, the job's own page
            found = create_schema().execute(
                query,
                variable_values={"filter": filters},
                context_value=workspace.create_request_context(),
            )
            assert found.errors is None
            (run,) = found.data["runsOrError"]["results"]
            assert (run["id"], run["jobName"]) == (done.run_id, JOB)
            assert run["repositoryOrigin"] == {
                "repositoryName": "__repository__",
                "repositoryLocationName": "millpond",
            }
