"""One call of dbt on an audit branch: models and tests in dbt's order, and dbt's results."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from millpond.errors import BuildFailed
from millpond.partitions import Window
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.batches import select_only, use_one_batch
from millpond.transform.build import Build, use_build
from millpond.transform.checks import DbtTest
from millpond.transform.dbt_events import DbtEvents, find_failures
from millpond.transform.engine import Query, QueryError
from millpond.transform.invocation import LOCK, invoke
from millpond.transform.manifest import ParsedProject
from millpond.transform.models import Model, Models
from millpond.transform.results import BuildResult, DbtTestResult, ModelBuilt, ModelFailed
from millpond.transform.sensitive import Touched, find_touched

_SAMPLES = 20
_OPTIONS = ("--no-write-json", "--no-populate-cache")
_RUN_HOOK = re.compile(r"operation\.(?P<of>\w+)\.\w+-(?P<when>on-run-\w+)-(?P<number>\d+)")


@dataclass(frozen=True)
class Job:
    """The work of one call of dbt: models to build for a window, and tests to run."""

    models: Sequence[Model]
    checks: Sequence[DbtTest]
    waiting: Mapping[str, str]
    """Tests that cannot run, each with the tables that are missing."""
    window: Window | None = None
    extra_days: Mapping[str, int] | None = None
    """By how many days the batch of a model is longer than the window, by unique_id."""


def run_dbt(job: Job, build: Build, parsed: ParsedProject, ref: str) -> BuildResult:
    """Run `job` with dbt on the branch of `build`; returns the result, not merged.

    Raises BuildFailed if dbt did not start.
    """
    from millpond.transform.dbt_import import defer_class_code

    defer_class_code()
    configured = settings()
    target, events = engine.get_engine(configured), DbtEvents()
    wanted = {model.unique_id for model in job.models} | {check.unique_id for check in job.checks}
    command = ["build" if job.models else "test", *_OPTIONS, *target.options]
    if job.window:
        command += [f"--event-time-start={job.window.start}", f"--event-time-end={job.window.end}"]
    if build.full_refresh:
        command += ["--full-refresh"]
    target.open_branch(build.ref)
    with LOCK, use_build(build), use_one_batch(job.extra_days or {}), select_only(wanted):
        ran = invoke(
            command,
            settings=configured,
            target=target.target,
            project=parsed.project,
            manifest=parsed.load_manifest(),
            variables={"millpond_days": find_days_to_test(job)},
            on_event=events,
        )
    if ran.result is None:
        names = ", ".join(model.key for model in job.models) or ", ".join(c.name for c in job.checks)
        raise BuildFailed(
            f"dbt could not build {names}: {_describe_exception(ran.exception, parsed)}",
            unharmed=f"ref {ref}; nothing of this run is in it",
            next_step=f"fix what the message names and run again; branch {build.ref} is kept",
        )
    results = {r.node.unique_id: r for r in ran.result.results}  # type: ignore[union-attr]
    return _collect(job, results, events, build, parsed, ref)


def _describe_exception(error: BaseException | None, parsed: ParsedProject) -> str:
    text = str(error) or repr(error)
    return find_touched(parsed, "").hide_error(text, f"the project: {type(error).__name__}")


def find_days_to_test(job: Job) -> dict[str, dict[str, str]]:
    """Return the days that tests read, by table; tables that are not in it are tested whole.

    The macro `get_where_subquery` restricts to them the tests that check each row by itself. The other days
    were tested when they were built.
    """
    found: dict[str, dict[str, str]] = {}
    if job.window is None:
        return found
    daily = {model.unique_id for model in job.models if model.daily}
    for check in job.checks:
        is_source = check.of.startswith("source.")
        if check.day and len(check.reads) == 1 and (check.of in daily or (is_source and daily)):
            extra = (job.extra_days or {}).get(check.of, 0)
            end = job.window.end + dt.timedelta(days=extra)
            found[check.reads[check.of]] = {
                "column": check.day,
                "start": str(job.window.start),
                "end": str(end),
            }
    return found


def _collect(
    job: Job,
    results: Mapping[str, Any],
    events: DbtEvents,
    build: Build,
    parsed: ParsedProject,
    ref: str,
) -> BuildResult:
    every, checks = parsed.models(), parsed.checks()
    with_spec = {*every, *parsed.checks_of_assets()}
    touches = partial(find_touched, parsed)
    metadata = events.collect_metadata(parsed.document(), parsed.translator(), with_spec)
    found = BuildResult(
        ref=ref,
        branch=build.ref,
        merged=False,
        models=tuple(
            ModelBuilt(
                key,
                every[key].key,
                stored.written,
                results[key].execution_time if key in results else stored.seconds,
                stored.day_rows,
                metadata.get(key, {}),
            )
            for key, stored in build.stored.items()
            if key in every
        ),
        checks=tuple(_collect_checks(job, results, metadata, events, build.ref, checks, touches)),
        failed=tuple(_collect_failures(find_failures(results.values(), events, touches), every, checks)),
        warnings=tuple(dict.fromkeys([*events.warnings, *_list_waiting_unit_tests(job, checks)])),
        passed=tuple(key for key, r in results.items() if key in checks and str(r.status) == "pass"),
    )
    return (
        found
        if found.failed or found.blocked_by
        else replace(found, failed=_find_left_out(job, results, build))
    )


def _list_waiting_unit_tests(job: Job, checks: Mapping[str, DbtTest]) -> Iterable[str]:
    for key, table in job.waiting.items():
        if checks[key].kind == "unit_test":
            yield f"unit test {checks[key].name} was not run: it reads {table}, which does not exist yet"


def _find_left_out(job: Job, results: Mapping[str, Any], build: Build) -> tuple[ModelFailed, ...]:
    """Return what dbt left out although nothing failed; then nothing is merged."""
    names = {m.unique_id: m.key for m in job.models if m.unique_id not in build.stored}
    names |= {c.unique_id: c.asset for c in job.checks if _get_status(results.get(c.unique_id)) == "skipped"}
    return tuple(ModelFailed(name, f"dbt left out {key} without a reason") for key, name in names.items())


def _get_status(result: Any) -> str:
    return str(result.status) if result else "skipped"


def _collect_failures(
    reasons: Mapping[str, str], every: Models, checks: Mapping[str, DbtTest]
) -> Iterable[ModelFailed]:
    for key, reason in reasons.items():
        if key in every:
            yield ModelFailed(every[key].key, reason)
        elif key in checks:
            yield ModelFailed(checks[key].asset, f"unit test {checks[key].name} failed: {reason}")
        elif hook := _RUN_HOOK.fullmatch(key):
            which, why = int(hook["number"]) + 1, reason.partition("failed, error:")[2].strip() or reason
            yield ModelFailed(
                "", f"hook {which} of {hook['when']} of the dbt project {hook['of']} failed: {why}"
            )
        else:
            yield ModelFailed(key, reason)


def _collect_checks(
    job: Job,
    results: Mapping[str, Any],
    metadata: Mapping[str, Mapping[str, Any]],
    events: DbtEvents,
    branch: str,
    checks: Mapping[str, DbtTest],
    touches: Callable[[str], Touched],
) -> Iterable[DbtTestResult]:
    for check in job.checks:
        if check.kind == "test":
            found = _read_result(check, results.get(check.unique_id), events, branch, touches)
            yield found.with_metadata(metadata.get(check.unique_id, {}))
    for key, missing in job.waiting.items():
        yield DbtTestResult.skipped(checks[key], f"it reads {missing}, which does not exist yet")


def _read_result(
    check: DbtTest, result: Any, events: DbtEvents, branch: str, touches: Callable[[str], Touched]
) -> DbtTestResult:
    status = _get_status(result)
    if status == "skipped":
        return DbtTestResult.skipped(check, "a model or a test before it failed")
    if status == "error":
        reason = events.get_reason(check.unique_id, result.message or "", touches(check.unique_id))
        return DbtTestResult.from_dbt(check, result, message=reason)
    if status == "pass":
        return DbtTestResult.from_dbt(check, result)
    with engine.get_engine(settings()).connect(branch) as query:
        sql, hide = result.node.compiled_code, touches(check.unique_id).hide_row
        samples = tuple(map(hide, _fetch_samples(sql, query)))
        return DbtTestResult.from_dbt(
            check, result, samples=samples, key_days=_find_shared_days(check, sql, query)
        )


def _fetch_samples(sql: str, query: Query) -> tuple[Mapping[str, Any], ...]:
    """Return rows of `sql`, a compiled test; none if it cannot run by itself."""
    try:
        names, rows = query(f"select * from ({sql}) as broken limit {_SAMPLES}")  # noqa: S608 - the project's own
    except QueryError:  # the result does not need them
        return ()
    return tuple(dict(zip(names, row, strict=True)) for row in rows)


def _find_shared_days(check: DbtTest, sql: str, query: Query) -> tuple[str, ...]:
    """Return the days, in order, of keys that are on several days; none if `check` does not test keys."""
    if not check.key or not check.day:
        return ()
    layer, _, name = check.reads[check.of].partition(".")
    columns, day = ", ".join(f"ours.{column}" for column in check.key), f"ours.{check.day}"
    first = "broken." + ("unique_field" if len(check.key) == 1 and "unique_field" in sql else check.key[0])
    found = [first, *(f"broken.{column}" for column in check.key[1:])]
    same = " and ".join(f"ours.{column} = {other}" for column, other in zip(check.key, found, strict=True))
    try:
        _, rows = query(
            f"select cast(min({day}) as varchar), cast(max({day}) as varchar)"  # noqa: S608 - names of the project's
            f' from "lake"."{layer}"."{name}" as ours join (select * from ({sql}) as found limit {_SAMPLES})'
            f" as broken on {same} group by {columns} having min({day}) < max({day})"
        )
    except QueryError:  # as above
        return ()
    return tuple(sorted({str(day)[:10] for row in rows for day in row}))
