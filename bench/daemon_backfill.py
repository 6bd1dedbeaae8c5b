"""Dagster's ordinary backfill by its daemon: submitted, awaited, timed by the clocks of its runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.tags import BACKFILL_ID_TAG

_HERE = Path(__file__).parent
_PATIENCE_SECONDS = 1800.0
_UNDER_WAY = {BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING}


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run Dagster's daemon over `each_day.py` within the block."""
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-f", str(_HERE / "each_day.py")]
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=_HERE)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def seconds_a_partition(instance: dg.DagsterInstance, assets: Sequence[str], days: Sequence[str]) -> float:
    """Return what a partition takes on average, from the start of the first run to the end of the last."""
    sys.path.insert(0, str(_HERE))
    graph = importlib.import_module("each_day").defs.resolve_asset_graph()
    wanted = PartitionBackfill.from_asset_partitions(
        backfill_id=f"bench{os.getpid()}{time.time_ns()}"[:20],
        asset_graph=graph,
        partition_names=days,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(wanted)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = instance.get_backfill(wanted.backfill_id)
        if found and found.status not in _UNDER_WAY:
            break
        if time.monotonic() > deadline:
            sys.exit("Dagster's daemon did not finish its backfill")
        time.sleep(0.5)
    runs = instance.get_run_records(dg.RunsFilter(tags={BACKFILL_ID_TAG: wanted.backfill_id}))
    failed = [run.dagster_run.run_id for run in runs if run.dagster_run.status != dg.DagsterRunStatus.SUCCESS]
    if failed or len(runs) < len(days):  # it takes several a day where a model looks back
        sys.exit(f"Dagster's backfill ended as {found.status}: {len(runs)} runs, failed: {failed}")
    began = min(run.create_timestamp.timestamp() for run in runs)
    return (max(run.end_time or 0.0 for run in runs) - began) / len(days)
