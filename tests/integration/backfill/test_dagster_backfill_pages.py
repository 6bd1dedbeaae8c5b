"""Backfills of the command on Dagster's backfills page, as the ledger has them; its daemon sees none."""

import datetime as dt
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import dagster as dg
import pytest
import small_assets
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.schema import create_schema
from small_assets import broken, day, days, definitions, fails_on, plan

from millpond.backfill import ledger
from millpond.backfill.ledger import BackfillState
from millpond.backfill.ledger_access import transaction
from millpond.backfill.page_records import LedgerRecords
from millpond.backfill.session import run_backfill
from millpond.instance.backfills import show_backfills
from millpond.runtime.processes import start_time

LIST = """
query($cursor: String, $limit: Int, $filters: BulkActionsFilter) {
  partitionBackfillsOrError(cursor: $cursor, limit: $limit, filters: $filters) {
    ... on PythonError { message }
    ... on PartitionBackfills { results {
      id status runStatus isAssetBackfill isValidSerialization numPartitions numCancelable partitionNames
      timestamp endTimestamp partitionSetName partitionSet { id } hasCancelPermission hasResumePermission
      assetSelection { path } tags { key value } error { message } user title runs { id }
      assetBackfillData {
        rootTargetedPartitions { partitionKeys ranges { start end } }
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts { assetKey { path }
            numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed }
          ... on UnpartitionedAssetStatus { assetKey { path } inProgress materialized failed }
        }
      }
    } }
  }
}
"""
FEED = """
query($limit: Int!, $cursor: String, $view: RunsFeedView!, $filter: RunsFilter) {
  runsFeedOrError(limit: $limit, cursor: $cursor, view: $view, filter: $filter) {
    ... on PythonError { message }
    ... on RunsFeedConnection { cursor hasMore results {
      __typename id runStatus creationTime startTime endTime jobName tags { key value }
      ... on PartitionBackfill {
        backfillStatus: status partitionSetName partitionSet { id } assetSelection { path } partitionNames
        hasCancelPermission hasResumePermission isAssetBackfill numPartitions
      }
    } }
  }
  runsFeedCountOrError(view: $view, filter: $filter) { ... on RunsFeedCount { count } }
}
"""
"""What `/overview/backfills`, now a view of the page of runs, asks."""
CANCEL = """
mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  ... on CancelBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
RESUME = CANCEL.replace("cancel", "resume").replace("Cancel", "Resume")
Ask = Callable[..., Any]


@cache
def schema() -> Any:
    return create_schema()


@pytest.fixture
def workspace(recorded: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    code = LoadableTargetOrigin(
        executable_path=sys.executable,
        python_file=small_assets.__file__,
        attribute="definitions",
    )
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(code, location_name="small"))
    with WorkspaceProcessContext(recorded, target) as found:
        yield found


@pytest.fixture
def ask(workspace: WorkspaceProcessContext) -> Iterator[Ask]:
    """Ask what a page asks, where the backfills of commands are shown as in the process of the pages."""

    def ask(query: str, **variables: Any) -> Any:
        found = schema().execute(
            query, variable_values=variables, context_value=workspace.create_request_context()
        )
        assert found.errors is None
        (answer, *more) = found.data.values()
        return (answer, *more) if more else answer

    show_backfills(LedgerRecords())
    yield ask
    show_backfills(None)


def listed(ask: Ask, **variables: Any) -> list[dict[str, Any]]:
    answer = ask(LIST, **variables)
    assert "message" not in answer, answer
    return list(answer["results"])


def counted(row: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return numbers by asset: targeted (only of those with days), in progress, materialized, failed."""
    return {
        each["assetKey"]["path"][-1]: tuple(int(n) for name, n in each.items() if name != "assetKey")
        for each in row["assetBackfillData"]["assetBackfillStatuses"]
    }


def begun(count: int, **options: Any) -> str:
    return ledger.create(plan(days(count), **options), {})


def left_by_another_process(backfill: str, pid: int, started: float) -> None:
    transaction(
        lambda connection: connection.execute(
            "update backfills set pid = %s, pid_started = %s where id = %s", (pid, started, backfill)
        )
    )


def test_each_backfill_is_listed_with_its_state_and_counts_and_the_daemon_touches_none(
    ask: Ask, recorded: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    seen_at_work: list[dict[str, Any]] = []
    broken["silver"] = lambda _: seen_at_work.extend(listed(ask))
    done = run_backfill(begun(4, chunk_days=2), instance=recorded, definitions=definitions()).id
    broken["silver"] = fails_on(day(2))
    failed = run_backfill(begun(4), instance=recorded, definitions=definitions()).id
    broken["silver"] = lambda _: os.kill(os.getpid(), signal.SIGINT)
    stopped = run_backfill(begun(4), instance=recorded, definitions=definitions()).id
    broken.clear()

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        killed = begun(4, ref="aside")
        left_by_another_process(killed, other.pid, start_time(other.pid) or 0.0)
        running = next(row for row in listed(ask) if row["id"] == killed)
        other.kill()
    living = begun(1, ref="another")

    first = seen_at_work[0]
    assert (first["id"], first["status"], first["endTimestamp"]) == (done, "REQUESTED", None)
    assert counted(first)["raw"] == (4, 2, 0, 0), "the run under way, not what waits"

    rows = {row["id"]: row for row in listed(ask)}
    assert list(rows) == [living, killed, stopped, failed, done], "the newest first"
    assert {row["id"]: row["status"] for row in rows.values()} == {
        living: "REQUESTED",
        killed: "FAILED",
        stopped: "CANCELED",
        failed: "COMPLETED_FAILED",
        done: "COMPLETED_SUCCESS",
    }
    assert running["status"] == "REQUESTED"
    assert counted(rows[done]) == {
        **dict.fromkeys(("raw", "silver", "gold"), (4, 0, 4, 0)),
        "mart": (0, 1, 0),
    }
    assert counted(rows[failed])["silver"] == (4, 0, 3, 1)
    assert counted(rows[failed])["gold"] == (4, 0, 3, 1)
    assert counted(rows[stopped])["silver"] == (4, 0, 0, 0)
    assert counted(rows[killed])["raw"] == (4, 0, 0, 0)
    for backfill, row in rows.items():
        assert row["isAssetBackfill"]
        assert row["isValidSerialization"]
        assert (row["endTimestamp"] is None) == (backfill == living)
        assert {run["id"] for run in row["runs"]} == {
            run.run_id for run in recorded.get_runs(dg.RunsFilter(tags={"millpond/backfill": backfill}))
        }
    assert len(rows[done]["runs"]) == 3
    assert rows[done]["assetBackfillData"]["rootTargetedPartitions"]["ranges"] == [
        {"start": str(day(0)), "end": str(day(3))}
    ]
    assert rows[done]["partitionNames"] == [str(day(n)) for n in range(4)]
    assert f"millpond backfill --resume {killed}" in rows[killed]["error"]["message"]
    assert f"millpond backfill show {failed}" in rows[failed]["error"]["message"]

    before, runs = ledger.list_backfills(), recorded.get_run_ids()
    show_backfills(None)  # as in the daemon's own process
    assert recorded.get_backfills() == []
    assert recorded.get_backfill(killed) is None
    assert list(execute_backfill_iteration(workspace, logging.getLogger("daemon"))) == [None]
    assert (ledger.list_backfills(), recorded.get_run_ids()) == (before, runs)
    show_backfills(LedgerRecords())
    assert {row["id"]: row["status"] for row in listed(ask)} == {i: row["status"] for i, row in rows.items()}


def test_one_that_is_resumed_is_running_again_and_then_done(ask: Ask, recorded: dg.DagsterInstance) -> None:
    broken["gold"] = fails_on(day(1))
    failed = run_backfill(begun(3), instance=recorded, definitions=definitions())
    broken.clear()
    ledger.take_over(failed, ledger.list_remaining(failed.id))
    (again,) = listed(ask)
    assert (again["status"], again["error"], again["endTimestamp"]) == ("REQUESTED", None, None)
    assert counted(again)["gold"] == (3, 0, 2, 0)
    run_backfill(failed.id, instance=recorded, definitions=definitions())
    (row,) = listed(ask)
    assert (row["status"], counted(row)["gold"]) == ("COMPLETED_SUCCESS", (3, 0, 3, 0))


def test_a_page_stops_a_backfill_that_lives_or_died_and_is_refused_to_go_on_with_it(
    ask: Ask, recorded: dg.DagsterInstance
) -> None:
    backfill = begun(3)
    assert ask(CANCEL, id=backfill) == {"backfillId": backfill}
    assert listed(ask)[0]["status"] == "CANCELING"
    broken["raw"] = lambda _: signal.pause()
    ended = run_backfill(backfill, instance=recorded, definitions=definitions())
    assert ended.state == BackfillState.CANCELLED
    assert listed(ask)[0]["status"] == "CANCELED"
    assert f"millpond backfill --resume {backfill}" in ask(RESUME, id=backfill)["message"]

    killed = begun(2, ref="aside")
    left_by_another_process(killed, os.getpid(), 1.0)
    assert listed(ask)[0]["status"] == "FAILED"
    ask(CANCEL, id=killed)
    assert [row["status"] for row in listed(ask)] == ["CANCELED", "CANCELED"]


@pytest.mark.filterwarnings("ignore:implicitly coercing SELECT:sqlalchemy.exc.SAWarning")  # Dagster's cursor
def test_dagsters_own_and_ours_are_listed_together_page_by_page_and_filtered(
    ask: Ask, recorded: dg.DagsterInstance
) -> None:
    ids = []
    for number in range(3):
        ids.append(begun(1, ref=f"branch_{number}"))
        theirs = PartitionBackfill(
            backfill_id=f"theirs{number}",
            status=BulkActionStatus.COMPLETED_SUCCESS,
            from_failure=False,
            tags={},
            backfill_timestamp=dt.datetime.now(dt.UTC).timestamp(),
            asset_selection=[dg.AssetKey("raw")],
            asset_backfill_data=recorded.get_backfills()[0].asset_backfill_data,
        )
        recorded.add_backfill(theirs)
        ids.append(theirs.backfill_id)
    newest_first = ids[::-1]
    assert [row["id"] for row in listed(ask)] == newest_first
    for size in (2, 3):
        found: list[str] = []
        while page := listed(ask, cursor=found[-1] if found else None, limit=size):
            found += [row["id"] for row in page]
        assert found == newest_first
    found, cursor, more = [], None, True
    while more:
        feed, total = ask(FEED, limit=2, cursor=cursor, view="BACKFILLS", filter={})
        assert total == {"count": 6}
        found += [row["id"] for row in feed["results"]]
        cursor, more = feed["cursor"], feed["hasMore"]
    assert found == newest_first
    at_work = listed(ask, filters={"statuses": ["REQUESTED"]})
    assert [row["id"] for row in at_work] == newest_first[1::2]
    feed, total = ask(FEED, limit=30, view="ROOTS", filter={"statuses": ["STARTED"]})
    assert [(row["id"], row["runStatus"]) for row in feed["results"]] == [
        (backfill, "STARTED") for backfill in newest_first[1::2]
    ]
    assert total == {"count": 3}
    of_a_branch = BulkActionsFilter(tags={"millpond/ref": ["branch_1", "other"]})
    assert [b.backfill_id for b in recorded.get_backfills(of_a_branch)] == [ids[2]]
    assert recorded.get_backfills_count(of_a_branch) == 1
