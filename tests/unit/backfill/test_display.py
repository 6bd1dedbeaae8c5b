"""A reason that days share is printed once while a backfill runs, and once, whole, at its end."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from rich.console import Console

from millpond.backfill.engine import WorkerEvent
from millpond.backfill.ledger import Backfill, BackfillState, Holder
from millpond.backfill.ledger_chunks import Outcome, PartitionState
from millpond.backfill.pieces import Key
from millpond.cli.backfill_display import Display, Tally
from millpond.cli.backfill_view import print_summary
from millpond.partitions import Window

DAYS = Window.of_days(dt.date(2026, 11, 1), dt.date(2026, 11, 4)).days
DOWN = f"https://iot.example.org:443 is left alone since 12:00{' and is not asked' * 10}. Last: HTTP 503"


def test_days_that_fail_for_one_reason_say_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    places = ["2026-11-01...2026-11-02"] * 2 + ["2026-11-03...2026-11-04"] * 2
    settled: dict[Key, Outcome] = {
        ("dlt_a", day): Outcome(PartitionState.FAILED, f"dlt_a, {place}: {DOWN}")
        for day, place in zip(DAYS, places, strict=True)
    }
    settled["b", None] = Outcome(PartitionState.FAILED, "b is None of these")
    with Display(Tally(settled), None) as display:
        display.take(WorkerEvent("settled", settled=tuple(settled.items())))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(settled)
    assert sum("left alone" in line for line in lines) == 1
    assert [line.endswith("FAILED same as 2026-11-01") for line in lines] == [False, True, True, True, False]
    assert all(len(line) < 200 for line in lines)

    printed = io.StringIO()
    rows = [
        {"asset": asset, "day": day, "state": one.state, "reason": one.reason, "rows": None, "next": ""}
        | dict.fromkeys(("quarantined", "nulled", "no_value", "duplicates", "outside"))
        for (asset, day), one in settled.items()
    ]
    begun = dt.datetime(2026, 11, 5, tzinfo=dt.UTC)
    holder = Holder("host", 1, 0.0, begun)
    backfill = Backfill(
        "1", "*", "main", None, {}, "", 0, BackfillState.FAILED, holder, begun, begun, 1.0, {}
    )
    print_summary(Console(file=printed, width=10_000), backfill, rows)
    said = printed.getvalue()
    assert said.count(f"failed dlt_a 2026-11-01...2026-11-04 {DOWN}\n") == said.count("left alone") == 1
    assert "failed b b is None of these\n" in said
