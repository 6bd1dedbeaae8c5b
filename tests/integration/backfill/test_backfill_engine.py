"""Carrying a backfill out: what a bad day does to the others, what stops it, what resuming does."""

import datetime as dt
import os
import signal
import threading

import dagster as dg
import psutil
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from small_assets import DAILY, DAYS, MART, broken, day, days, definitions, fails_on, plan, seen

from millpond.backfill import ledger
from millpond.backfill.engine import WorkerEvent
from millpond.backfill.history import read_failures
from millpond.backfill.ledger import Backfill, BackfillState
from millpond.backfill.ledger_chunks import PartitionState
from millpond.backfill.plan import Plan
from millpond.backfill.session import cancel, run_backfill
from millpond.errors import BackfillOverlap, SourceUnreachable
from millpond.resources.run import BACKFILL_TAG
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server as found_server


def carried_out(
    wanted: Plan,
    recorded: dg.DagsterInstance,
    *,
    told: list[WorkerEvent] | None = None,
    limit: int | None = None,
) -> Backfill:
    tell = (lambda _: None) if told is None else told.append
    backfill = ledger.create(wanted, {})
    return run_backfill(backfill, instance=recorded, definitions=definitions(), tell=tell, max_failures=limit)


def states(backfill: Backfill) -> dict[str, dict[dt.date | None, str]]:
    found: dict[str, dict[dt.date | None, str]] = {}
    for part in ledger.list_partitions(backfill.id):
        found.setdefault(part["asset"], {})[part["day"]] = part["state"]
    return found


def test_each_chunk_is_one_run_in_order_of_dates_and_whole_assets_come_last(
    recorded: dg.DagsterInstance,
) -> None:
    ended = carried_out(plan(days(6), chunk_days=2), recorded)
    assert ended.state == BackfillState.DONE
    assert ended.counts == {PartitionState.DONE: 19}
    windows = [keys for name, keys in seen if name == "raw"]
    assert windows == [[str(day(n)), str(day(n + 1))] for n in (0, 2, 4)]
    assert seen[-1] == (MART, [])
    runs = recorded.get_runs()
    assert len(runs) == 4
    assert {r.tags[BACKFILL_TAG] for r in runs} == {ended.id}
    assert {r.status for r in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_dagsters_pages_show_each_partition_as_it_is(recorded: dg.DagsterInstance) -> None:
    broken["silver"] = fails_on(day(2))
    carried_out(plan(days(5)), recorded)
    value = get_and_update_asset_status_cache_value(recorded, dg.AssetKey("silver"), DAYS)
    assert value is not None
    made = set(value.deserialize_materialized_partition_subsets(DAYS).get_partition_keys())
    failed = set(value.deserialize_failed_partition_subsets(DAYS).get_partition_keys())
    assert made == {str(day(n)) for n in (0, 1, 3, 4)}
    assert failed == {str(day(2))}


def test_a_bad_day_is_found_and_told_with_its_reason_and_all_others_land(
    recorded: dg.DagsterInstance,
) -> None:
    broken["silver"] = fails_on(day(5))
    ended = carried_out(plan(days(16)), recorded)
    found = states(ended)
    assert ended.state == BackfillState.FAILED
    assert {d for d, state in found["silver"].items() if state != PartitionState.DONE} == {day(5)}
    assert found["silver"][day(5)] == PartitionState.FAILED
    assert found["gold"][day(5)] == PartitionState.BLOCKED
    assert set(found["raw"].values()) == {PartitionState.DONE}
    assert found[MART] == {None: PartitionState.DONE}
    (reason,) = [p["reason"] for p in ledger.list_partitions(ended.id) if p["state"] == PartitionState.FAILED]
    assert reason == "something is wrong"
    assert sum(name == "raw" for name, _ in seen) == 1, "what was made is not made again"
    assert sum(name == "silver" for name, _ in seen) <= 2 * 4 + 1, "sought by halves"


def test_what_may_pass_by_itself_is_tried_again(recorded: dg.DagsterInstance) -> None:
    tries: list[int] = []

    def at_first(_: list[str]) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise SourceUnreachable("no answer", next_step="wait")

    broken["raw"] = at_first
    ended = carried_out(plan(days(4)), recorded)
    assert (ended.state, len(tries)) == (BackfillState.DONE, 2)


def test_whole_assets_are_not_run_on_nothing(recorded: dg.DagsterInstance) -> None:
    broken["gold"] = fails_on(day(0), day(1))
    ended = carried_out(plan(days(2)), recorded)
    assert states(ended)[MART] == {None: PartitionState.BLOCKED}
    assert MART not in [name for name, _ in seen]


def test_it_stops_after_as_many_failures_as_it_may_have(recorded: dg.DagsterInstance) -> None:
    broken["raw"] = fails_on(*days(10).days)
    ended = carried_out(plan(days(10), "raw", chunk_days=1), recorded, limit=3)
    assert ended.counts == {PartitionState.FAILED: 3, PartitionState.OPEN: 7}
    assert ended.state == BackfillState.FAILED


def test_resuming_runs_exactly_what_is_left(recorded: dg.DagsterInstance) -> None:
    broken["silver"] = fails_on(day(3))
    first = carried_out(plan(days(6), chunk_days=2), recorded)
    assert first.unfinished == 2
    broken.clear()
    seen.clear()
    left = ledger.list_remaining(first.id)
    assert sorted(left) == [("gold", day(3)), ("silver", day(3))]
    ledger.take_over(first, left)
    again = run_backfill(first.id, instance=recorded, definitions=definitions())
    assert again.state == BackfillState.DONE
    assert seen == [("silver", [str(day(3))]), ("gold", [str(day(3))])]


def test_ctrl_c_stops_it_keeps_what_is_done_and_leaves_the_rest(recorded: dg.DagsterInstance) -> None:
    def interrupt(keys: list[str]) -> None:
        if str(day(2)) in keys:
            os.kill(os.getpid(), signal.SIGINT)

    broken["silver"] = interrupt
    stopped = carried_out(plan(days(6), chunk_days=2), recorded)
    found = states(stopped)
    assert stopped.state == BackfillState.INTERRUPTED
    assert [found["raw"][day(n)] for n in range(6)] == [PartitionState.DONE] * 4 + [PartitionState.OPEN] * 2
    assert [found["silver"][day(n)] for n in range(6)] == [PartitionState.DONE] * 2 + [
        PartitionState.OPEN
    ] * 4
    assert recorded.get_runs(limit=1)[0].status == dg.DagsterRunStatus.CANCELED
    assert read_failures(recorded, DAILY) == {}, "what was stopped did not fail"
    broken.clear()
    ledger.take_over(stopped, ledger.list_remaining(stopped.id))
    assert run_backfill(stopped.id, instance=recorded, definitions=definitions()).state == BackfillState.DONE


def test_cancel_from_elsewhere_stops_it(recorded: dg.DagsterInstance) -> None:
    backfill = ledger.create(plan(days(4), chunk_days=1), {})
    entered, hurt = threading.Event(), threading.Event()

    def waits(_: list[str]) -> None:
        entered.set()
        hurt.wait(30)

    broken["gold"] = waits

    def elsewhere() -> None:
        entered.wait(30)
        cancel(backfill)

    other = threading.Thread(target=elsewhere)
    other.start()
    ended = run_backfill(backfill, instance=recorded, definitions=definitions())
    other.join()
    assert ended.state == BackfillState.CANCELLED
    assert ended.counts[PartitionState.DONE] == 2
    assert not hurt.is_set()


def test_one_that_overlaps_a_living_one_is_refused_and_says_with_what(recorded: dg.DagsterInstance) -> None:
    first = ledger.create(plan(days(6), "raw", "silver"), {})
    with pytest.raises(BackfillOverlap) as refused:
        ledger.create(plan(days(3), "silver", MART), {})
    text = str(refused.value)
    assert first in text
    assert str(os.getpid()) in text
    assert f"silver {days(3)}" in text
    assert ledger.create(plan(days(3), "gold"), {})
    assert ledger.create(plan(days(3), "silver", ref="trial"), {})
    assert len(ledger.list_backfills()) == 3


def test_what_is_told_is_what_the_ledger_holds(recorded: dg.DagsterInstance) -> None:
    told: list[WorkerEvent] = []
    ended = carried_out(plan(days(3)), recorded, told=told)
    settled = {key: outcome.state for each in told for key, outcome in each.settled}
    assert settled == {(p["asset"], p["day"]): p["state"] for p in ledger.list_partitions(ended.id)}
    rows = [p["rows"] for p in ledger.list_partitions(ended.id) if p["asset"] in DAILY]
    assert rows == [10] * 9


@pytest.mark.parametrize("asset", ["raw", pytest.param("silver", marks=pytest.mark.slow), "gold"])
def test_a_database_that_dies_in_mid_run_costs_no_more_than_that_run(
    home: Home, recorded: dg.DagsterInstance, asset: str
) -> None:
    died: list[int] = []

    def dies(keys: list[str]) -> None:
        if str(day(2)) in keys and not died:
            server = found_server(home)
            assert server
            died.append(server.pid)
            psutil.Process(server.pid).kill()

    broken[asset] = dies
    ended = carried_out(plan(days(6), chunk_days=2), recorded)
    assert died
    assert (ended.state, ended.counts) == (BackfillState.DONE, {PartitionState.DONE: 19})
    of_raw = [keys for name, keys in seen if name == "raw"]
    assert len(of_raw) <= 4
    assert [keys[0] for keys in of_raw].count(str(day(0))) == 1
    assert {run.status for run in recorded.get_runs()} <= {
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
    }
