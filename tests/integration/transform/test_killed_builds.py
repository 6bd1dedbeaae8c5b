"""A build whose process is killed: what it had written is on its branch, where nobody looks."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Callable

import raw_rows
from millpond.lake import read, refs
from millpond.partitions import Window
from millpond.settings import process_environment
from raw_rows import Build

DAY = dt.date(2026, 3, 4)
WINDOW = Window.of_day(DAY)
NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
MODELS = ["stg_glucose_entries", "fct_glucose_readings"]
KILLED = """
import sys
from millpond import crash_points
from millpond.partitions import Window, parse_day
from millpond.transform.runner import build
crash_points.arm("lake.swapped")
build(sys.argv[2:], Window.of_day(parse_day(sys.argv[1])), ref="main", run_id="killed")
"""


def test_a_killed_build_leaves_the_ref_as_it_was_and_the_next_one_is_complete(
    build_all: Build, state: Callable[..., dict[str, list[str]]]
) -> None:
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    build_all(WINDOW, *MODELS)
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 110)])
    before = state()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(DAY), *MODELS],
        env=process_environment(),
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert state() == before
    (left,) = refs.list_refs()[1:]
    assert read.scan(left.name, "bronze.stg_glucose_entries")["glucose_mg_dl"].to_pylist() == [110]

    assert build_all(WINDOW, *MODELS).merged
    for table in ("bronze.stg_glucose_entries", "silver.fct_glucose_readings"):
        assert read.scan("main", table)["glucose_mg_dl"].to_pylist() == [110]
    assert left.state == "audit", "which housekeeping drops after a day"
