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
from millpond.transform.models import Model, Models, chosen
from millpond.transform.plan import extra_days, refuse_without_window, selection, with_inputs
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
    """Build models and their data tests, and merge them into `ref` all at once.

    `select` are their unique_ids or asset keys.
    `window` is what daily models are built for. `on_event` hears of each model as it is written. If another
    build changed the same tables of `ref` meanwhile, this one is repeated on what is there then, alone.

    Raises AuditFailed with the result so far, the branch kept; InputMissing; MergeConflict; ZoneChanged.
    """
    refuse_other_zone()
    parsed = current(settings())
    every = parsed.models()
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
    every = parsed.models()
    there = [model.unique_id for model in every.values() if model.table in present]
    wanted = set(names)
    tests = [test for test in due(parsed.data_tests(), there, there) if test.name in wanted]
    return _checked(tests, every, ref)


def snapshot_id(unique_id: str, *, ref: str) -> int | None:
    """Return the snapshot of a model's table on `ref`; None if there is no table, or none yet."""
    table = current(settings()).models()[unique_id].table
    if not read.exists(ref, table):
        return None
    return read.loaded(ref, table).metadata.current_snapshot_id


def _audited(
    wanted: Sequence[Model], every: Models, window: Window | None, parsed: Parsed, ref: str, build: Building
) -> BuildResult:
    """Create the build's branch, build on it and run the data tests there."""
    present = set(read.table_names(ref))
    built = with_inputs(every, wanted, present, ref, window)
    ids = [model.unique_id for model in built]
    extra = extra_days(every, ids, window, ref, present)
    purpose = f"audit of {', '.join(model.key for model in built)}"[:200]
    refs.create(build.ref, base=ref, purpose=purpose, run_id=build.run_id)
    try:
        result = _built(built, every, window, extra, build, ref, parsed)
        if result.failed and build.broken_off:
            raise build.broken_off[0]
        if result.failed:
            return result
        there = {model.unique_id for model in every.values() if model.table in present}
        tests = due(parsed.data_tests(), ids, there.union(ids))
        if window is not None:
            tests = [_narrowed(test, every, window, ids, extra) for test in tests]
        return replace(result, checks=tuple(_checked(tests, every, build.ref)))
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
    (key, *others) = test.reads
    if others or key not in built or not every[key].daily:
        return test
    return test.of(Window.of_days(window.start, window.last + dt.timedelta(days=extra.get(key, 0))))


def _checked(tests: Sequence[DataTest], every: Models, ref: str) -> list[CheckResult]:
    results = engine.of(settings()).audit(tests, ref) if tests else []
    return [replace(r, model=every[r.model].key) if r.model in every else r for r in results]


def _built(
    built: Sequence[Model],
    every: Models,
    window: Window | None,
    extra: dict[str, int],
    build: Building,
    ref: str,
    parsed: Parsed,
) -> BuildResult:
    command = ["run", "--no-write-json", "--no-populate-cache", *selection(built, every)]
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
            f"dbt could not build {', '.join(model.key for model in built)}: {ran.exception}",
            unharmed=f"ref {ref}; nothing of this run is in it",
            next_step=f"fix what the message names and run again; branch {build.ref} is kept",
        )
    results: Sequence[Any] = ran.result.results  # type: ignore[union-attr]
    return BuildResult(
        ref=ref,
        branch=build.ref,
        merged=False,
        models=models_built(results, build.stored, every),
        failed=models_failed(results, complaints, every),
    )
