"""Building models: on a branch of the ref, audited there, and merged only if every blocking check passed."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from millpond.errors import BuildFailed, MergeConflict, MillpondError, ServerUnreachable, StorageFailed
from millpond.lake import read, refs
from millpond.lake.home_zone import refuse_other_zone
from millpond.partitions import Window
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.batches import one_batch
from millpond.transform.building import Building, Stored, building
from millpond.transform.collect import Complaints, models_built, models_failed
from millpond.transform.data_tests import DataTest, due
from millpond.transform.invocation import LOCK, invoke
from millpond.transform.manifest import Parsed, current
from millpond.transform.models import Model, Models, chosen, models
from millpond.transform.plan import extra_days, refuse_without_window, with_inputs
from millpond.transform.results import AuditFailed, BuildResult, CheckResult
from millpond.transform.turns import turn

_ATTEMPTS = 3


def build(
    select: Sequence[str],
    window: Window | None,
    *,
    ref: str,
    run_id: str,
    on_event: Callable[[Stored], None] = lambda _: None,
) -> BuildResult:
    """Build the models called `select` and their data tests, and merge them into `ref` all at once.

    `window` is what daily models are built for. `on_event` hears of each model as it is written. If another
    build changed the same tables of `ref` meanwhile, this one is repeated on what is there then, alone.

    Raises AuditFailed with the result so far, the branch kept; InputMissing; MergeConflict; ZoneChanged.
    """
    refuse_other_zone()
    parsed = current(settings())
    every = models(parsed.document())
    wanted = chosen(every, select)
    refuse_without_window(wanted, window)
    for attempt in range(1, _ATTEMPTS + 1):
        started = time.perf_counter()
        with turn(ref, alone=attempt > 1):
            branch = f"audit_{uuid.uuid4().hex[:12]}"
            try:
                result = _audited(wanted, every, window, parsed, ref, Building(branch, run_id, on_event))
            finally:
                engine.of(settings()).leave(branch)
            result = replace(result, seconds=time.perf_counter() - started)
            if result.failed or result.blocked_by:
                failure = AuditFailed(result)
                refs.keep(branch, failure.what)
                raise failure
            try:
                refs.merge(branch)
            except MergeConflict as conflict:
                if attempt == _ATTEMPTS:
                    refs.keep(branch, conflict.what)
                    raise
                refs.drop(branch)
            else:
                return replace(result, merged=True)
    raise AssertionError("the last attempt returns or raises")


def check(names: Iterable[str], *, ref: str) -> list[CheckResult]:
    """Run the data tests called `names` on `ref` as it is; returns their results."""
    parsed = current(settings())
    present = set(read.table_names(ref))
    every = models(parsed.document()).values()
    there = [model.name for model in every if model.table in present]
    wanted = set(names)
    return _checked([test for test in due(parsed.data_tests(), there, there) if test.name in wanted], ref)


def snapshot_id(name: str, *, ref: str) -> int | None:
    """Return the snapshot of a model's table on `ref`; None if there is no table, or none yet."""
    table = models(current(settings()).document())[name].table
    if not read.exists(ref, table):
        return None
    return read.loaded(ref, table).metadata.current_snapshot_id


def _audited(
    wanted: Sequence[Model], every: Models, window: Window | None, parsed: Parsed, ref: str, build: Building
) -> BuildResult:
    """Create the build's branch, build on it and run the data tests there."""
    present = set(read.table_names(ref))
    names = [model.name for model in with_inputs(every, wanted, present, ref)]
    extra = extra_days(every, names, window, ref, present)
    refs.create(build.ref, base=ref, purpose=f"audit of {', '.join(names)}"[:200], run_id=build.run_id)
    try:
        result = _built(names, window, extra, build, ref, parsed)
        if result.failed and build.broken_off:
            raise build.broken_off[0]
        if result.failed:
            return result
        there = {model.name for model in every.values() if model.table in present}
        tests = due(parsed.data_tests(), names, there.union(names))
        if window is not None:
            tests = [_narrowed(test, every, window, names, extra) for test in tests]
        return replace(result, checks=tuple(_checked(tests, build.ref)))
    except (ServerUnreachable, StorageFailed):
        # Nothing of the build is worth a look, and it is repeated.
        with suppress(MillpondError):
            refs.drop(build.ref)
        raise
    except Exception as error:
        refs.keep(build.ref, str(error) or type(error).__name__)
        raise


def _narrowed(
    test: DataTest, every: Models, window: Window, built: Sequence[str], extra: dict[str, int]
) -> DataTest:
    """Return the test of the days that this build makes: the others were tested when they were built."""
    (name, *others) = test.reads
    if others or name not in built or not every[name].daily:
        return test
    return test.of(Window.of_days(window.start, window.last + dt.timedelta(days=extra.get(name, 0))))


def _checked(tests: Sequence[DataTest], ref: str) -> list[CheckResult]:
    return engine.of(settings()).audit(tests, ref) if tests else []


def _built(
    names: Sequence[str],
    window: Window | None,
    extra: dict[str, int],
    build: Building,
    ref: str,
    parsed: Parsed,
) -> BuildResult:
    command = ["run", "--no-write-json", "--no-populate-cache", "--select", *names]
    if window is not None:
        command += [f"--event-time-start={window.start}", f"--event-time-end={window.end}"]
    complaints, configured = Complaints(), settings()
    engine.of(configured).enter(build.ref)
    with LOCK, building(build), one_batch(extra):
        ran = invoke(
            command,
            settings=configured,
            target=engine.of(configured).target,
            manifest=parsed.warm(),
            on_event=complaints,
        )
    if ran.result is None:
        raise BuildFailed(
            f"dbt could not build {', '.join(names)}: {ran.exception}",
            unharmed=f"ref {ref}; nothing of this run is in it",
            next_step=f"mend what the message names and run again; branch {build.ref} is kept",
        )
    results: Sequence[Any] = ran.result.results  # type: ignore[union-attr]
    return BuildResult(
        ref=ref,
        branch=build.ref,
        merged=False,
        models=models_built(results, build.stored),
        failed=models_failed(results, complaints),
    )
