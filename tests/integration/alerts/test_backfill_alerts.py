"""A backfill that ended or whose process died is one alert, of Dagster's pages and of the ledger."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from alerting_assets import find_new

from millpond.backfill.ledger_access import transaction
from millpond.runtime.home import Home


def test_a_finished_backfill_is_told_once_and_its_ledger_may_be_missing(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    now = dt.datetime.now(dt.UTC).timestamp()
    recorded.add_backfill(
        PartitionBackfill(
            "abcdefgh",
            status=BulkActionStatus.COMPLETED_FAILED,
            from_failure=False,
            tags={},
            backfill_timestamp=now,
            backfill_end_timestamp=now,
            asset_selection=[dg.AssetKey("fine")],
        )
    )
    assert [find_new(recorded), find_new(recorded)] == [1, 0]
    (told,) = rows("select kind, severity, title from alerts")
    assert told == {
        "kind": "backfill_finished",
        "severity": "warning",
        "title": "backfill abcdefgh: failed",
    }


@pytest.fixture
def ledger_row(home: Home) -> Callable[[str], None]:
    """Return a function that writes a backfill of two days into the ledger, its end as SQL."""

    def write(end: str) -> None:
        def written(connection: Any) -> None:
            connection.execute(
                "insert into backfills (id, selection, ref, first_day, last_day, options, code, skipped,"
                " host, pid, pid_started, seconds, state, heartbeat, ended) values ('b1', 'fine*', 'main',"
                f" '2026-10-01', '2026-10-02', '{{}}', 'c', 0, 'h', 1, 1, 12, {end})"
            )
            connection.execute(
                "insert into backfill_partitions (backfill, asset, day, state) values"
                " ('b1', 'fine', '2026-10-01', 'done'), ('b1', 'fine', '2026-10-02', 'failed')"
            )

        transaction(written)

    return write


def test_a_backfill_that_died_without_a_word_is_told_and_again_when_it_was_resumed(
    recorded: dg.DagsterInstance, rows: Any, ledger_row: Callable[[str], None]
) -> None:
    ledger_row("'running', now() - interval '2 minutes', null")
    assert [find_new(recorded), find_new(recorded)] == [1, 0]
    (told,) = rows("select severity, title, reason from alerts")
    assert told["title"] == "backfill of fine* for 2026-10-01...2026-10-02: its process died"
    assert (told["severity"], "millpond backfill --resume b1" in told["reason"]) == ("warning", True)
    transaction(lambda c: c.execute("update backfills set heartbeat = now()"))
    assert find_new(recorded) == 0
    transaction(lambda c: c.execute("update backfills set state = 'done', ended = now()"))
    assert find_new(recorded) == 1


def test_a_backfill_of_the_ledger_is_told_with_its_tally(
    recorded: dg.DagsterInstance, rows: Any, ledger_row: Callable[[str], None]
) -> None:
    ledger_row("'failed', now(), now()")
    assert [find_new(recorded), find_new(recorded)] == [1, 0]
    (told,) = rows("select severity, title, reason from alerts")
    assert told["title"] == "backfill of fine* for 2026-10-01...2026-10-02: failed"
    assert (told["severity"], "1 failed" in told["reason"]) == ("warning", True)
