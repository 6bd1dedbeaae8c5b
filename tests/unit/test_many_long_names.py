"""Lists with hundreds of long names fit what they are read in: a terminal, COLUMNS, a file."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable

import pytest

from millpond.automation.overview import Item as Automatic
from millpond.automation.preview import PlannedRun
from millpond.backfill import ledger
from millpond.backfill.ledger import Backfill
from millpond.backfill.ledger_access import Holder
from millpond.backfill.ledger_chunks import OUTCOME_COLUMNS, PartitionState
from millpond.backfill.plan import Chunk, Item, Plan, State
from millpond.cli import automation_view, backfill_view, branch_view, output, sources_view
from millpond.cli.backfill_plan_view import print_plan
from millpond.lake.refs import Ref
from millpond.partitions import Window
from millpond.settings import settings

NAMES = tuple(f"warehouse_of_region_{number:03}_stock_levels_by_article" for number in range(164))
DAYS = Window.of_days(dt.date(2026, 1, 1), dt.date(2026, 1, 3))
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def sources() -> None:
    columns = sources_view.COLUMNS
    output.print_rows_as_table(
        columns, [["erp", "https://erp.example.org:443", ", ".join(NAMES), "healthy", 0, None, 0, None]]
    )


def automation() -> None:
    items = [Automatic(f"{name} follows", "condition", "on", "0 6 * * * in UTC", NOON) for name in NAMES]
    automation_view.print_list(items, settings())


def preview() -> None:
    automation_view.print_preview([PlannedRun("keep_up", "load is due", NAMES, str(DAYS))], NOON)


def plan() -> None:
    items = [Item(name, day, State.MISSING, "not materialized", True) for name in NAMES for day in DAYS.days]
    print_plan(Plan("*", "main", "c0de", tuple(items), (Chunk(1, NAMES, DAYS),), None))


def backfill() -> Backfill:
    return Backfill(
        id="0101_c0ffee",
        selection="*",
        ref="main",
        window=DAYS,
        options={},
        code="c0de",
        skipped=0,
        state=ledger.BackfillState.DONE,
        holder=Holder("here", 1, 0.0, NOON),
        started=NOON,
        ended=NOON,
        seconds=1.0,
        counts={PartitionState.DONE: len(NAMES)},
    )


def summary() -> None:
    outcome = dict.fromkeys(OUTCOME_COLUMNS) | {
        "state": PartitionState.DONE,
        "rows": 288,
        "quarantined": 1,
        "next": "",
    }
    parts = [{"asset": name, "day": day, **outcome} for name in NAMES for day in DAYS.days]
    backfill_view.print_one(backfill(), parts, as_json=False)


def branches() -> None:
    branch_view.print_list([Ref(f"dev_{name}", "main", "to try it", "", NOON, 9, 3) for name in NAMES])


@pytest.mark.parametrize("read_in", ["terminal", "COLUMNS", "file"])
@pytest.mark.parametrize("shown", [sources, automation, preview, plan, summary, branches])
def test_a_list_of_many_long_names_fits_and_breaks_none(
    shown: Callable[[], None],
    read_in: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if read_in != "file":
        monkeypatch.setenv("COLUMNS", "80")
    if read_in == "terminal":
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    shown()
    lines = _STYLES.sub("", capsys.readouterr().out).splitlines()
    longest = max(lines, key=lambda line: len(line.rstrip()))
    assert len(longest.rstrip()) <= (300 if read_in == "file" else 80), longest
    assert all(any(name in line for line in lines) for name in NAMES)
