"""The root cause of a failed run: the first failure that is not the consequence of another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import AssetCheckEvaluation, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun

from millpond.alerts.days import format_days, shorten_days
from millpond.instance.failure import DayFailure, is_interrupt, read_failed_days
from millpond.internals.dagster_on_demand import SerializableErrorInfo

_DAYS = re.compile(r"--(?:partition|range) \S+?(?=[`\s])|\d{4}-\d\d-\d\d(?:\.\.\.\d{4}-\d\d-\d\d)?")
_MOST = 6


def summarize_unharmed(failures: Sequence[DayFailure]) -> list[str]:
    """Return what is unharmed, with its days; what holds for all days comes last, without them."""
    days: dict[str, list[str]] = {}
    for each in failures:
        for clause in filter(None, each.unharmed.split("; ")):
            days.setdefault(clause, []).append(each.days)
    of_some = [
        f"{_list_days(about)}: {clause}" for clause, about in days.items() if len(about) < len(failures)
    ]
    more = [f"… and {len(of_some) - _MOST} more like these"] if len(of_some) > _MOST else []
    of_all = [clause for clause, about in days.items() if len(about) == len(failures)]
    return [*of_some[:_MOST], *more, *of_all]


def summarize_next_steps(failures: Sequence[DayFailure]) -> list[str]:
    """Return the next steps, each with the other days that it applies to."""
    steps: dict[str, list[DayFailure]] = {}
    for each in failures:
        if each.next:
            steps.setdefault(_DAYS.sub("days", each.next), []).append(each)
    return [_name_other_days(group) for group in steps.values()]


def _name_other_days(group: Sequence[DayFailure]) -> str:
    first = group[0].next
    others = [each.days for each in group if each.next != first]
    return f"{first} (the same for {_list_days(others)})" if others else first


def _list_days(days: Sequence[str]) -> str:
    return shorten_days(format_days(days) if all("..." not in each for each in days) else ", ".join(days))


BEYOND_REACH = "BeyondReach"
_OURS = re.compile(r"^(?:millpond\.errors\.\w+|dagster\.\S*\.Failure|dagster\.Failure): ")
_WRAPPERS = ("Dagster", "RetryRequested")
_SAME_CAUSE = {"BreakerOpen": "SourceUnreachable"}
"""A circuit breaker opens because the host was unreachable."""
_BY_CHECK = "DagsterAssetCheckFailedError"
_CONSEQUENCE = re.compile(r"(?i)\b(upstream\b.*\bfail|not run\b|was skipped|dependenc\w+ .*fail|waits for)")
_CONSEQUENCES = ("InputMissing", "DagsterStepFailedUpstream", "DagsterExecutionStepNotFoundError")
_INTERRUPTED = "Execution was interrupted unexpectedly"
_EXCEEDED, _CANCELED_BY_LIMIT = "Exceeded maximum runtime", "Canceling due to exceeding maximum runtime"
"""How Dagster's daemon begins to say so of a run that it ends: of its failure, and of its canceling."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:\.\.\.\d{4}-\d\d-\d\d)?")
_NUMBER = re.compile(r"\d+")
_SAMPLES, _DAYS_SHOWN = 3, 6


@dataclass(frozen=True)
class Cause:
    """Why a run failed; `text` begins with the root cause. `root` is the asset that it names, if any.

    `beyond_reach` says that only days failed which the source no longer serves; `stopped` that the run was
    canceled. `names` are those of the errors and checks, by which a repeated failure is recognized.
    """

    text: str
    unharmed: str = ""
    next_step: str = ""
    root: str = ""
    beyond_reach: bool = False
    stopped: bool = False
    names: tuple[str, ...] = ()


@dataclass
class _FailureText:
    """Lines of an error message, by what they say."""

    lines: list[str] = field(default_factory=list)
    unharmed: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)


def find_cause(
    steps: Sequence[DagsterEvent], checks: Sequence[AssetCheckEvaluation], failure: DagsterEvent | None
) -> Cause:
    """Return the cause of a run's failure.

    `steps` are its failed steps and `checks` its blocking checks that failed, both in the order of the log;
    `failure` is the event of the run itself.
    """
    if failure and (failure.message or "").startswith(_EXCEEDED):
        said = "find out what it waited for (a longer limit is max_runtime_seconds in dagster.yaml)"
        return Cause(f"{failure.message} Its process was ended.", next_step=said, names=(_EXCEEDED,))
    if was_stopped(steps, failure):
        return Cause("The run was stopped before it had finished.", stopped=True)
    own = [event for event in steps if _class_name(_read_error(event)) != _BY_CHECK]
    own.sort(key=_is_consequence)  # a stable sort: what failed first comes first
    out = _FailureText()
    for event in own:
        _add_step(out, event)
    shown = list(out.lines)
    for check in checks:
        first, *samples = describe_check(check)
        if not any(check.check_name in line for line in shown):
            out.lines += [first, *samples]
    if not out.lines:
        _add_lines(out, _read_text(_read_run_error(failure)) or (failure.message if failure else "") or "")
    return Cause(
        "\n".join(out.lines) or "the run failed without an error",
        "; ".join(dict.fromkeys(out.unharmed)),
        next(iter(out.next_steps), ""),
        _find_root(own, checks),
        bool(steps) and not checks and all(_is_beyond_reach(event) for event in steps),
        names=_find_cause_names(own, checks, failure),
    )


def was_stopped(steps: Sequence[DagsterEvent], failure: DagsterEvent | None) -> bool:
    """Return whether a run was canceled: by Ctrl-C, SIGTERM, or *Terminate* in Dagster's pages."""
    if any(is_interrupt(_read_error(event)) for event in steps) or is_interrupt(_read_run_error(failure)):
        return True
    return bool(
        failure
        and (
            failure.event_type == DagsterEventType.RUN_CANCELED
            or (failure.message or "").startswith(_INTERRUPTED)
        )
    )


def is_of_limit(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Return whether Dagster's daemon ended a run as it went beyond its maximum runtime."""
    records = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.RUN_CANCELING).records
    events = (record.event_log_entry.dagster_event for record in records)
    return any((event.message or "").startswith(_CANCELED_BY_LIMIT) for event in events if event)


def describe_check(check: AssetCheckEvaluation) -> list[str]:
    """Return lines about a failed check: its name, asset, counts and description, then sample rows."""
    found = {name: value.value for name, value in check.metadata.items()}
    failures = found.get("failures")
    count = f" for {failures} {'row' if failures == 1 else 'rows'}" if isinstance(failures, int) else ""
    said = f": {check.description}" if check.description else ""
    lines = [f"check {check.check_name} of {check.asset_key.to_user_string()} failed{count}{said}"]
    return lines + [f"  {row}" for row in _format_rows(found.get("samples"))]


def _format_rows(samples: Any) -> list[str]:
    records = getattr(samples, "records", samples)
    rows = [getattr(row, "data", row) for row in records] if isinstance(records, list | tuple) else []
    return [
        ", ".join(f"{k}={v}" for k, v in row.items() if v is not None)
        for row in rows[:_SAMPLES]
        if isinstance(row, dict)
    ]


def _add_step(out: _FailureText, event: DagsterEvent) -> None:
    if days := read_failed_days(event.step_failure_data):
        out.lines += _group_by_cause(days)
        rest = _FailureText()
        _add_lines(rest, _read_text(_read_error(event)))
        out.unharmed += summarize_unharmed(days) or rest.unharmed
        out.next_steps += summarize_next_steps(days) or rest.next_steps
    else:
        _add_lines(out, _read_text(_read_error(event)) or event.message or "the step failed without an error")


def _group_by_cause(failures: Sequence[DayFailure]) -> list[str]:
    """Return a line for each cause with its days; unreachable days come last."""
    groups: dict[tuple[str, str], list[DayFailure]] = {}
    for each in failures:
        groups.setdefault((each.error, _NUMBER.sub("0", _DATE.sub("day", each.reason))), []).append(each)
    ordered = sorted(groups.values(), key=lambda group: group[0].error == BEYOND_REACH)
    lines = []
    for group in ordered:
        days = [each.days for each in group]
        shown = ", ".join(days[:_DAYS_SHOWN])
        more = f" and {len(days) - _DAYS_SHOWN} more" if len(days) > _DAYS_SHOWN else ""
        first = group[0].reason
        alone = len(group) == 1 and days[0] in first
        lines.append(first if alone else f"{shown}{more}: {first.removeprefix(f'{days[0]}: ')}")
    return lines


def _add_lines(out: _FailureText, text: str) -> None:
    for line in text.splitlines():
        if line.startswith("Unharmed: "):
            out.unharmed.append(line.removeprefix("Unharmed: "))
        elif line.startswith("Next: "):
            out.next_steps.append(line.removeprefix("Next: "))
        elif line.strip():
            out.lines.append(line.rstrip())


def _read_text(error: SerializableErrorInfo | None) -> str:
    """Return the messages of an error chain: the innermost cause, then what it led to."""
    chain = [each for each in _walk_chain(error) if not (_class_name(each)).startswith(_WRAPPERS)]
    chain = chain or list(_walk_chain(error))[-1:]
    for each in chain:  # an error of ours is complete by itself
        if _OURS.match(each.message):
            return _OURS.sub("", each.message).strip()
    said = [each.message.strip() for each in reversed(chain) if _says_something(each)]
    said = said or [each.message.strip() for each in chain[-1:]]
    return "\nwhich led to: ".join(said)


def _says_something(error: SerializableErrorInfo) -> bool:
    """Return whether the message says more than the name of the error."""
    name, _, text = error.message.strip().partition(": ")
    return bool(text.strip()) or name.rstrip(":") != _class_name(error)


def _walk_chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    seen: set[int] = set()
    while isinstance(error, SerializableErrorInfo) and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.cause


def _read_error(event: DagsterEvent) -> SerializableErrorInfo | None:
    error = event.step_failure_data.error
    return error if isinstance(error, SerializableErrorInfo) else None


def _read_run_error(failure: DagsterEvent | None) -> SerializableErrorInfo | None:
    error = getattr(failure.event_specific_data, "error", None) if failure else None
    return error if isinstance(error, SerializableErrorInfo) else None


def _class_name(error: SerializableErrorInfo | None) -> str:
    return (error.cls_name if error else None) or ""


def _error_names(event: DagsterEvent) -> set[str]:
    """Return the names of the errors that a step failed with."""
    given = event.step_failure_data.user_failure_data
    value = given and given.metadata.get("error")
    own = str(value.value).split(", ") if value else []
    return {*own, *(_class_name(each) for each in _walk_chain(_read_error(event)))} - {""}


def _find_cause_names(
    steps: Sequence[DagsterEvent], checks: Sequence[AssetCheckEvaluation], failure: DagsterEvent | None
) -> tuple[str, ...]:
    found = {f"check {check.check_name}" for check in checks}
    for event in steps:
        given = event.step_failure_data.user_failure_data
        names = {name for name in _error_names(event) if not name.startswith(_WRAPPERS)}
        found |= names - {"Failure"} if given and given.metadata.get("error") else names
    found = found or {_class_name(_read_run_error(failure)) or "run"}
    return tuple(sorted({_SAME_CAUSE.get(name, name) for name in found}))


def _is_consequence(event: DagsterEvent) -> bool:
    if _error_names(event) & set(_CONSEQUENCES):
        return True
    first = _read_text(_read_error(event)).partition("\n")[0]
    return bool(_CONSEQUENCE.search(first))


def _is_beyond_reach(event: DagsterEvent) -> bool:
    if days := read_failed_days(event.step_failure_data):
        return all(each.error == BEYOND_REACH for each in days)
    given = event.step_failure_data.user_failure_data
    value = given and given.metadata.get("error")
    return bool(value and value.value == BEYOND_REACH)


def _find_root(steps: Sequence[DagsterEvent], checks: Sequence[AssetCheckEvaluation]) -> str:
    """Return the asset that the first failure names, if it names one."""
    for event in steps:
        given = event.step_failure_data.user_failure_data
        value = given and given.metadata.get("asset")
        return str(value.value) if value else ""
    return checks[0].asset_key.to_user_string() if checks else ""
