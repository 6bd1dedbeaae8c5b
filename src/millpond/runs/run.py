"""Materializes a selection of assets over a window, in one run in this process."""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import dagster as dg

from millpond.errors import ConfigError, DayLeftOut
from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.files import output_to_terminal
from millpond.instance.home import CODE_LOCATION
from millpond.instance.home import open_instance as home_instance
from millpond.instance.record import read_versions
from millpond.internals.dagster import AssetGraph, keep_parts, make_new_run_id
from millpond.lake.home_zone import refuse_other_zone
from millpond.naming import ref_name, ref_option
from millpond.partitions import Window, check_window
from millpond.resources.run import JOB, REF_TAG, partition_tags
from millpond.runs.left_out import LeftOut, describe_left_out
from millpond.runs.progress import Progress, RunOutcome, RunProgress
from millpond.runs.selection import find_single_day_assets, leave_out_unready, resolve_selection
from millpond.runtime.garbage import collect_rarely_from_now, resume_collection
from millpond.settings import settings

SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Silences Dagster's console log; events are stored, and passed to `on_event`."""


def materialize(
    selection: str,
    window: Window | None,
    *,
    instance: dg.DagsterInstance | None = None,
    on_event: Callable[[Progress], None] | None = None,
    definitions: dg.Definitions | None = None,
    ref: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
    refuse_nothing: bool = False,
) -> RunOutcome:
    """Materialize `selection` (Dagster's syntax) over `window`, in one run of the job `millpond`.

    Partitioned assets take all days of the window at once. The run is recorded in `instance` (default: the
    home's), with one materialization per partition; `on_event` is called for each event. `definitions`
    default to the code location's, `ref` to the setting, `run_id` to a new one.

    A failed asset does not stop those that do not depend on it; see the outcome. Raises ConfigError for an
    empty selection, ZoneChanged, PartitionKeyError for a window with days that cannot exist, and
    KeyboardInterrupt for Ctrl-C, after the run was recorded as canceled; with `refuse_nothing` DayLeftOut if
    all that would be loaded is left out.
    """
    configured = settings()
    refuse_other_zone()
    if window:
        check_window(window, configured.start_date, configured.zone)
    job, graph = _job(definitions or importlib.import_module(CODE_LOCATION).defs)
    _spare_libraries()
    keys = resolve_selection(selection, graph)
    on = ref_name(ref or configured.ref)
    if window and len(window) > 1 and (single := find_single_day_assets(keys, graph)):
        raise ConfigError(
            f"one run makes one day of {', '.join(single)}: its backfill_policy is not single_run",
            unharmed="everything; nothing was started",
            next_step=f"`millpond backfill '{selection}' --start-date {window.start} "
            f"--end-date {window.last}` makes a run for each day",
        )
    run_tags = {REF_TAG: on, **(tags or {})}
    run_id, began = run_id or make_new_run_id(), time.perf_counter()
    resume_collection()
    with _open_instance(instance) as dagster:
        fail_dead_runs(dagster)
        keys, left_out = leave_out_unready(
            keys, graph, selection, lambda names: read_versions(dagster, names, on)
        )
        if window and any(graph.get(key).is_partitioned for key in keys):
            found = describe_left_out(dagster, graph, keys, window, on, run_tags)
            if refuse_nothing and found.all:
                raise _left_out_error(found, selection, window, on)
            left_out += found.sentences
            run_tags |= partition_tags(window)
        progress = RunProgress(on_event, lambda: _cancel(dagster, run_id))
        dagster.add_event_listener(run_id, progress)
        collect_rarely_from_now()
        with output_to_terminal():
            result = job.execute_in_process(
                instance=dagster,
                run_id=run_id,
                run_config=SILENT,
                tags=run_tags,
                asset_selection=keys,
                raise_on_error=False,
            )
    if progress.interrupted:
        raise KeyboardInterrupt
    outcome = progress.outcome(run_id, result.success, time.perf_counter() - began)
    return replace(outcome, left_out=left_out)


def _left_out_error(found: LeftOut, selection: str, window: Window, ref: str) -> DayLeftOut:
    days = f"--partition {window}" if len(window) == 1 else f"--range {window}"
    again = f"`millpond materialize '{selection}' {days}{ref_option(ref)} --accept-wiped`"
    return DayLeftOut(
        f"nothing would be loaded: {'; '.join(found.sentences)}",
        unharmed="everything; nothing was started",
        next_step=f"to load what was wiped: {again}"
        if found.wiped
        else "to load older days, set a longer retention in the file of the source",
    )


@cache
def _spare_libraries() -> None:
    """Exclude half a million objects of imported libraries from garbage collection."""
    gc.freeze()


def _job(definitions: dg.Definitions) -> tuple[dg.JobDefinition, AssetGraph]:
    job = definitions.resolve_job_def(JOB)
    keep_parts(job)
    return job, definitions.resolve_asset_graph()


def _cancel(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, "Interrupted from the keyboard.")


@contextmanager
def _open_instance(instance: dg.DagsterInstance | None) -> Iterator[dg.DagsterInstance]:
    if instance is not None:
        yield instance
    else:
        with home_instance() as own:
            yield own
