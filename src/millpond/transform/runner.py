"""Building models: on a branch of the ref, audited there, and merged only if every blocking check passed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson

from millpond.errors import MergeConflict, MillpondError, ServerUnreachable, StorageFailed
from millpond.lake import read, refs
from millpond.lake.home_zone import refuse_other_zone
from millpond.lake.locks import build_lock
from millpond.partitions import Window
from millpond.runtime.home import layout
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.audit import Job, run_dbt
from millpond.transform.building import Building, Stored
from millpond.transform.checks import Due, due, due_unit_tests
from millpond.transform.invocation import OFFLINE, invoke
from millpond.transform.manifest import Parsed, current, described
from millpond.transform.models import Model, Models, chosen
from millpond.transform.plan import extra_days, refuse_partial_refresh, refuse_without_window, with_inputs
from millpond.transform.projects import as_it_is, part_of
from millpond.transform.results import AuditFailed, BuildResult, CheckResult

_ATTEMPTS = 3


def build(
    select: Sequence[str],
    window: Window | None,
    *,
    ref: str,
    run_id: str,
    on_event: Callable[[Stored], None] = lambda _: None,
    full_refresh: bool = False,
) -> BuildResult:
    """Build models, test them, and merge them into `ref` all at once.

    `select` are their unique_ids or asset keys.
    `window` is what daily models are built for; with `full_refresh` their tables are replaced whole, and it
    must hold all days that have rows. `on_event` hears of each model as it is written. If another build
    changed the same tables of `ref` meanwhile, this one is repeated on what is there then, alone.

    Raises AuditFailed with the result so far, the branch kept; InputMissing; MergeConflict; ZoneChanged.
    """
    refuse_other_zone()
    parsed, every = part_of(settings(), select)
    wanted = chosen(every, select)
    refuse_without_window(wanted, window)
    if full_refresh:
        refuse_partial_refresh(parsed, wanted, window, ref)
    for attempt in range(1, _ATTEMPTS + 1):
        started = time.perf_counter()
        with build_lock(ref, alone=attempt > 1):
            branch = f"audit_{uuid.uuid4().hex[:12]}"
            try:
                result = _audited(
                    wanted, every, window, parsed, ref, Building(branch, run_id, on_event, full_refresh)
                )
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


def check(checks: Iterable[tuple[str, str]], *, ref: str) -> list[CheckResult]:
    """Run data tests, each given as the key of its asset and its name, on `ref` as it is.

    They run on a branch, which is dropped: a test may store what it finds.
    """
    asked = set(checks)
    found = described(settings()) or current(settings())
    return [result for part in found.parts for result in _checked(part, asked, ref)]


def _checked(parsed: Parsed, asked: set[tuple[str, str]], ref: str) -> list[CheckResult]:
    present = set(read.list_tables(ref))
    wanted = [c for c in parsed.checks().values() if c.kind == "test" and (c.asset, c.name) in asked]
    if not wanted:
        return []
    parsed = as_it_is(settings(), parsed)
    missing = {c.unique_id: ", ".join(sorted({*c.reads.values()} - present)) for c in wanted}
    ready = [c for c in wanted if not missing[c.unique_id]]
    job = Job([], ready, {key: tables for key, tables in missing.items() if tables})
    build = Building(f"audit_{uuid.uuid4().hex[:12]}", "", lambda _: None)
    refs.create(build.ref, base=ref, purpose="tests", run_id=build.run_id)
    try:
        return list(run_dbt(job, build, parsed, ref).checks)
    finally:
        engine.of(settings()).leave(build.ref)
        refs.drop(build.ref)


def snapshot_id(unique_id: str, *, ref: str) -> int | None:
    """Return the snapshot of a model's table on `ref`; None if there is no table, or none yet."""
    table = part_of(settings(), [unique_id])[1][unique_id].table
    if not read.exists(ref, table):
        return None
    return read.load_table(ref, table).metadata.current_snapshot_id


def warm_up() -> None:
    """Bring in dbt and the lake, read the manifest, have dbt compile a model; opens no connection."""
    from millpond.transform.lean_classes import lighten

    lighten()
    from millpond.internals.dagster_on_demand import dbt_cli_event

    assert dbt_cli_event
    configured = settings()
    engine.of(configured).warm_up()
    parsed = current(configured)
    parsed.document(), parsed.models(), parsed.checks(), parsed.translator()
    invoke(
        ["compile", "--select", "resource_type:model", *OFFLINE],
        settings=configured,
        target=engine.of(configured).target,
        project=parsed.project,
        manifest=parsed.warm(),
    )


def _audited(
    wanted: Sequence[Model], every: Models, window: Window | None, parsed: Parsed, ref: str, build: Building
) -> BuildResult:
    """Create the build's branch, and build and test on it."""
    present = set(read.list_tables(ref))
    job = _planned(wanted, every, window, parsed, ref, present)
    purpose = f"audit of {', '.join(model.key for model in job.models)}"[:200]
    refs.create(build.ref, base=ref, purpose=purpose, run_id=build.run_id)
    try:
        result = run_dbt(job, build, parsed, ref)
        if build.broken_off and (result.failed or result.blocked_by):
            raise build.broken_off[0]
    except (ServerUnreachable, StorageFailed):
        # Nothing of the build is worth a look, and it is repeated.
        with suppress(MillpondError):
            refs.drop(build.ref)
        raise
    except Exception as error:
        refs.keep(build.ref, str(error) or type(error).__name__)
        raise
    _remember_passed(parsed, result.passed)
    return result


def _planned(
    wanted: Sequence[Model],
    every: Models,
    window: Window | None,
    parsed: Parsed,
    ref: str,
    present: set[str],
) -> Job:
    """Return what dbt is to do to build `wanted` on `ref`."""
    built = with_inputs(every, wanted, present, ref, window)
    ids = [model.unique_id for model in built]
    checks = parsed.checks().values()
    tests = due(checks, ids, every, present)
    unit_tests = Due((), {})
    if engine.of(settings()).unit_tests:
        unit_tests = due_unit_tests(checks, ids, _passed_before(parsed), present)
    extra = extra_days(every, ids, window, ref, present)
    waiting = {**tests.waiting, **unit_tests.waiting}
    return Job(built, [*tests.ready, *unit_tests.ready], waiting, window, extra)


def _passed_before(parsed: Parsed) -> set[str]:
    """Return the unique_ids of the unit tests that passed before."""
    try:
        return set(orjson.loads(_passed_file(parsed).read_bytes()))
    except FileNotFoundError:
        return set()


def _remember_passed(parsed: Parsed, unique_ids: Collection[str]) -> None:
    """Take note of the unit tests among `unique_ids`; what another build notes at once may be lost."""
    passed = {key for key in unique_ids if key.startswith("unit_test.")}
    if passed:
        unfinished = _passed_file(parsed).with_suffix(".part")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(orjson.dumps(sorted(passed | _passed_before(parsed))))
        unfinished.rename(_passed_file(parsed))


def _passed_file(parsed: Parsed) -> Path:
    return layout(settings()).dbt / "unit_tests" / f"{parsed.folder.name}.json"
