"""A project with assets of its own, whose runs tell what processes they are."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psutil
from background_parts import READY_SECONDS, launch

from millpond.instance.home import open_instance
from waiting import until

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
OWN = """
import os, sys, time
import dagster as dg

@dg.asset
def look() -> dg.MaterializeResult:
    from millpond.runs.warm_run import LOADED
    imported = len(set(sys.modules) - LOADED)
    import random
    import duckdb
    import numpy
    bars = duckdb.execute("select current_setting('enable_progress_bar')").fetchone()[0]
    drawn = {"drawn": numpy.random.random(), "of_python": random.random(), "bars": bars}
    return dg.MaterializeResult(
        metadata={"parent": os.getppid(), "imported": imported, "edit": 0, **drawn}
    )

@dg.asset
def wait() -> None:
    while not os.path.exists(os.environ["MILLPOND_HOME"] + "/go on"):
        time.sleep(0.05)

@dg.asset
def version() -> dg.MaterializeResult:
    print("an asset that prints")
    warm = "millpond.runtime.warm_pool" in sys.modules
    return dg.MaterializeResult(metadata={"version": 0, "warm": warm})

defs = dg.Definitions(assets=[look, wait, version])
"""


def status_of(run: str) -> str:
    with open_instance() as recorded:
        found = recorded.get_run_by_id(run)
        assert found
        return found.status.value


def wait_for(run: str, wanted: set[str]) -> str:
    until(lambda: status_of(run) in wanted, READY_SECONDS, every=0.1)
    return status_of(run)


def look() -> dict[str, Any]:
    """Make `look` from the pages, and return what its run saw."""
    assert wait_for(launch("look"), ENDED) == "SUCCESS"
    return read_metadata("look")


def read_metadata(asset: str) -> dict[str, Any]:
    with open_instance() as recorded:
        made = recorded.get_latest_materialization_event(dg.AssetKey(asset))
        assert made
        assert made.asset_materialization
        return {name: entry.value for name, entry in made.asset_materialization.metadata.items()}


def process_of(run: str) -> psutil.Process:
    with open_instance() as recorded:
        events = recorded.get_records_for_run(run, of_type=dg.DagsterEventType.RUN_START).records
        event = events[0].event_log_entry.dagster_event
        assert event
        assert event.pid
        return psutil.Process(event.pid)
