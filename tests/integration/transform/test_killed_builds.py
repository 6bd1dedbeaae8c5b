"""A build whose process is killed: what it had written is on its branch, where nobody looks."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Callable

import raw_rows
from millpond.lake import read, refs
from millpond.partitions import Window
from millpond.transform.runner import build
from processes import exit_code
from raw_rows import Build

DAY = dt.date(2026, 3, 4)
WINDOW = Window.of_day(DAY)
NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
MODELS = ["stg_climate_entries", "fct_climate_readings"]


def build_to_be_killed() -> None:
    build(MODELS, WINDOW, ref="main", run_id="killed")


def test_a_killed_build_leaves_the_ref_as_it_was_and_the_next_one_is_complete(
    build_all: Build, state: Callable[..., dict[str, list[str]]]
) -> None:
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    build_all(WINDOW, *MODELS)
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 110)])
    before = state()
    assert exit_code(build_to_be_killed, crash_at=["lake.swapped"]) == -signal.SIGKILL
    assert state() == before
    (left,) = refs.list_refs()[1:]
    assert read.scan(left.name, "bronze.stg_climate_entries")["lux"].to_pylist() == [110]

    assert build_all(WINDOW, *MODELS).merged
    for table in ("bronze.stg_climate_entries", "silver.fct_climate_readings"):
        assert read.scan("main", table)["lux"].to_pylist() == [110]
    assert left.state == "audit", "which housekeeping drops after a day"
