"""Building models on a branch of the ref, which is merged only if every blocking check passed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson

from millpond.errors import LakeError, MergeConflict, MillpondError, ServerUnreachable, StorageFailed
from millpond.lake import read, refs
from millpond.lake.files import is_disk_full
from millpond.lake.home_zone import refuse_other_zone
from millpond.lake.locks import build_lock
from millpond.partitions import Window
from millpond.runtime.home import layout
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.audit import Job, run_dbt
from millpond.transform.build import Build, ModelWrite
from millpond.transform.checks import DueTests, find_due_tests, find_due_unit_tests
from millpond.transform.invocation import OFFLINE, invoke
from millpond.transform.manifest import ParsedProject, load_project, load_project_or_last
from millpond.transform.models import Model, Models, choose_models
from millpond.transform.plan import add_inputs, find_extra_days, refuse_partial_refresh, refuse_without_window
from millpond.transform.projects import load_part, load_project_of
from millpond.transform.results import AuditFailed, BuildResult, DbtTestResult

_ATTEMPTS = 3


def build(
    select: Sequence[str],
    window: Window | None,
    *,
    ref: str,
    run_id: str,
    on_event: Callable[[ModelWrite], None] = lambda _: None,
    full_refresh: bool = False,
) -> BuildResult:
    """Build models, test them, and merge them into `ref` all at once.

    `select` are their unique_ids or asset keys.
    `window` is what daily models are built for; with `full_refresh` their tables are replaced whole, and it
    must include all days that have rows. `on_event` receives each model as it is written. If another build
    changed the same tables of `ref` meanwhile, this one is repeated alone.

    Raises AuditFailed with the result so far, and keeps the branch; InputMissing; MergeConflict; ZoneChanged.
    """
    refuse_other_zone()
    parsed, every = load_project_of(settings(), select)
    wanted = choose_models(every, select)
    refuse_without_window(wanted, window)
    if full_refresh:
        refuse_partial_refresh(parsed, wanted, window, ref)
    for attempt in range(1, _ATTEMPTS + 1):
        started = time.perf_counter()
        with build_lock(ref, alone=attempt > 1):
            branch = f"audit_{uuid.uuid4().hex[:12]}"
            try:
                result = _build_on_branch(
                    wanted, every, window, parsed, ref, Build(branch, run_id, on_event, full_refresh)
                )
            except Exception:
                raise
            except BaseException:  # interrupted: there is nothing to look at
                with suppress(LakeError):
                    refs.drop(branch)
                raise
            finally:
                engine.get_engine(settings()).close_branch(branch)
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


def check(checks: Iterable[tuple[str, str]], *, ref: str) -> list[DbtTestResult]:
    """Run data tests, each given as the key of its asset and its name, on `ref` as it is.

    They run on a branch, which is dropped afterwards: a test may store its failures.
    """
    asked = set(checks)
    found = load_project_or_last(settings()) or load_project(settings())
    return [result for part in found.parts for result in _run_checks(part, asked, ref)]


def _run_checks(parsed: ParsedProject, asked: set[tuple[str, str]], ref: str) -> list[DbtTestResult]:
    present = set(read.list_tables(ref))
    wanted = [c for c in parsed.checks().values() if c.kind == "test" and (c.asset, c.name) in asked]
    if not wanted:
        return []
    parsed = load_part(settings(), parsed)
    missing = {c.unique_id: ", ".join(sorted({*c.reads.values()} - present)) for c in wanted}
    ready = [c for c in wanted if not missing[c.unique_id]]
    job = Job([], ready, {key: tables for key, tables in missing.items() if tables})
    build = Build(f"audit_{uuid.uuid4().hex[:12]}", "", lambda _: None)
    refs.create(build.ref, base=ref, purpose="tests", run_id=build.run_id)
    try:
        return list(run_dbt(job, build, parsed, ref).checks)
    finally:
        engine.get_engine(settings()).close_branch(build.ref)
        refs.drop(build.ref)


def get_snapshot_id(unique_id: str, *, ref: str) -> int | None:
    """Return the snapshot id of a model's table on `ref`; None if it has no table or no snapshot."""
    table = load_project_of(settings(), [unique_id])[1][unique_id].table
    if not read.exists(ref, table):
        return None
    return read.load_table(ref, table).metadata.current_snapshot_id


def warm_up() -> None:
    """Import dbt and the lake, read the manifest, have dbt compile models and macros; opens no connection."""
    from millpond.transform.dbt_import import defer_class_code

    defer_class_code()
    from millpond.internals.dagster_on_demand import dbt_cli_event
    from millpond.transform.warm_macros import compile_macros

    assert dbt_cli_event
    configured = settings()
    engine.get_engine(configured).warm_up()
    parsed = load_project(configured)
    parsed.document(), parsed.models(), parsed.checks(), parsed.translator()
    manifest = parsed.load_manifest()
    invoke(
        ["compile", "--select", "resource_type:model", *OFFLINE],
        settings=configured,
        target=engine.get_engine(configured).target,
        project=parsed.project,
        manifest=manifest,
    )
    compile_macros(manifest)


def _build_on_branch(
    wanted: Sequence[Model],
    every: Models,
    window: Window | None,
    parsed: ParsedProject,
    ref: str,
    build: Build,
) -> BuildResult:
    """Create the build's branch, and build and test on it."""
    present = set(read.list_tables(ref))
    job = _plan_job(wanted, every, window, parsed, ref, present)
    purpose = f"audit of {', '.join(model.key for model in job.models)}"[:200]
    refs.create(build.ref, base=ref, purpose=purpose, run_id=build.run_id)
    try:
        result = run_dbt(job, build, parsed, ref)
        if build.server_errors and (result.failed or result.blocked_by):
            raise build.server_errors[0]
    except (ServerUnreachable, StorageFailed):
        # The branch is of no use, and the build is repeated.
        with suppress(MillpondError):
            refs.drop(build.ref)
        raise
    except Exception as error:
        if is_disk_full(error):
            with suppress(MillpondError):
                refs.drop(build.ref)
            names = ", ".join(model.key for model in job.models)
            raise StorageFailed(
                f"{names} could not be built: the disk is full: {error}",
                unharmed=f"ref {ref}; nothing of this run is in it",
                next_step=f"free space on the disk of {layout(settings()).root}, then repeat the run",
            ) from error
        refs.keep(build.ref, str(error) or type(error).__name__)
        raise
    _remember_passed(parsed, result.passed)
    return result


def _plan_job(
    wanted: Sequence[Model],
    every: Models,
    window: Window | None,
    parsed: ParsedProject,
    ref: str,
    present: set[str],
) -> Job:
    """Return the job of building `wanted` on `ref`."""
    built = add_inputs(every, wanted, present, ref, window)
    ids = [model.unique_id for model in built]
    checks = parsed.checks().values()
    tests = find_due_tests(checks, ids, every, present)
    unit_tests = DueTests((), {})
    if engine.get_engine(settings()).unit_tests:
        unit_tests = find_due_unit_tests(checks, ids, _read_passed(parsed), present)
    extra = find_extra_days(every, ids, window, ref, present)
    waiting = {**tests.waiting, **unit_tests.waiting}
    return Job(built, [*tests.ready, *unit_tests.ready], waiting, window, extra)


def _read_passed(parsed: ParsedProject) -> set[str]:
    """Return the unique_ids of the unit tests that passed before."""
    try:
        return set(orjson.loads(_get_passed_file(parsed).read_bytes()))
    except FileNotFoundError:
        return set()


def _remember_passed(parsed: ParsedProject, unique_ids: Collection[str]) -> None:
    """Record the unit tests among `unique_ids`; those of a simultaneous build may be lost."""
    passed = {key for key in unique_ids if key.startswith("unit_test.")}
    if passed:
        unfinished = _get_passed_file(parsed).with_suffix(".part")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(orjson.dumps(sorted(passed | _read_passed(parsed))))
        unfinished.rename(_get_passed_file(parsed))


def _get_passed_file(parsed: ParsedProject) -> Path:
    return layout(settings()).dbt / "unit_tests" / f"{parsed.folder.name}.json"
