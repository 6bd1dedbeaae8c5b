"""The results of a build: the models it wrote and the tests it ran, with dbt's messages shortened."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from millpond.errors import BuildFailed
from millpond.lake.spec import Written
from millpond.naming import ref_option
from millpond.settings import settings
from millpond.transform.checks import DbtTest

_SHOWN = 3
"""Sample rows that an error message shows; its result has all."""


@dataclass(frozen=True)
class ModelBuilt:
    """A model that was built; `seconds` cover its query and its write, `day_rows` the days that have rows."""

    unique_id: str
    model: str
    """The key of its asset."""
    written: Written
    seconds: float
    day_rows: Mapping[dt.date, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """dagster-dbt's metadata of it."""


@dataclass(frozen=True)
class DbtTestResult:
    """The result of a data test; `samples` are up to 20 failing rows, `message` why it could not run."""

    model: str
    """The key of its asset."""
    check: str
    description: str
    blocking: bool
    passed: bool
    failures: int
    seconds: float
    message: str = ""
    samples: tuple[Mapping[str, Any], ...] = ()
    key_days: tuple[str, ...] = ()
    """Days that share a key, which only one of them should have: the row has moved."""
    raw: tuple[str, ...] = ()
    """The raw assets upstream of its table."""
    ran: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """dagster-dbt's metadata of it."""

    @classmethod
    def from_dbt(cls, check: DbtTest, result: Any, **more: Any) -> DbtTestResult:
        """Return the result of `check` from dbt's `result`."""
        status = str(result.status)
        return cls(
            model=check.asset,
            check=check.name,
            description=check.description,
            blocking=status in ("fail", "error") or (status == "pass" and check.severity == "error"),
            passed=status == "pass",
            failures=int(result.failures or 0),
            seconds=result.execution_time,
            raw=check.raw,
            **more,
        )

    @classmethod
    def skipped(cls, check: DbtTest, why: str) -> DbtTestResult:
        """Return the result of `check` that was not run: it has not passed, and blocks nothing."""
        message = f"not run: {why}"
        return cls(check.asset, check.name, check.description, False, False, 0, 0.0, message, ran=False)

    def with_metadata(self, metadata: Mapping[str, Any]) -> DbtTestResult:
        """Return the result with dagster-dbt's metadata of it."""
        return replace(self, metadata=metadata)


@dataclass(frozen=True)
class ModelFailed:
    """A model that could not be built, with the database's or dbt's message."""

    model: str
    """The key of its asset; empty where a hook of the run failed."""
    message: str

    def __str__(self) -> str:
        return f"model {self.model} could not be built: {self.message}" if self.model else self.message


@dataclass(frozen=True)
class BuildResult:
    """A whole build. `branch` is dropped once it is merged into `ref`."""

    ref: str
    branch: str
    merged: bool
    models: tuple[ModelBuilt, ...] = ()
    checks: tuple[DbtTestResult, ...] = ()
    failed: tuple[ModelFailed, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    """dbt's warnings, with file and node."""
    passed: tuple[str, ...] = ()
    """The unique_ids of the tests that passed."""

    @property
    def blocked_by(self) -> tuple[DbtTestResult, ...]:
        """The failed checks that prevent the merge, those of upstream models first."""
        order = {built.model: number for number, built in enumerate(self.models)}
        found = [check for check in self.checks if check.blocking and not check.passed]
        return tuple(sorted(found, key=lambda check: order.get(check.model, len(order))))

    @property
    def root(self) -> str:
        """The model that failed first; empty if none did."""
        models = [failed.model for failed in self.failed] + [check.model for check in self.blocked_by]
        return next(iter(models), "")


def join_builds(builds: Sequence[BuildResult]) -> BuildResult:
    """Return builds of several windows as one."""
    if len(builds) == 1:
        return builds[0]
    models: dict[str, ModelBuilt] = {}
    checks: dict[tuple[str, str], DbtTestResult] = {}
    for build in builds:
        for built in build.models:
            before = models.get(built.model)
            models[built.model] = (
                _join_models(before, built) if before and built.written.day_hashes else built
            )
        for check in build.checks:
            first = checks.get((check.model, check.check))
            checks[check.model, check.check] = _join_results(first, check) if first else check
    return replace(
        builds[-1],
        models=tuple(models.values()),
        checks=tuple(checks.values()),
        warnings=tuple(dict.fromkeys(text for build in builds for text in build.warnings)),
        seconds=sum(build.seconds for build in builds),
    )


def _join_models(one: ModelBuilt, other: ModelBuilt) -> ModelBuilt:
    written = replace(
        other.written,
        changed=one.written.changed or other.written.changed,
        rows=one.written.rows + other.written.rows,
        bytes=one.written.bytes + other.written.bytes,
        content_hash=hashlib.sha256(
            f"{one.written.content_hash}\n{other.written.content_hash}".encode()
        ).hexdigest(),
        day_hashes=one.written.day_hashes | other.written.day_hashes,
    )
    rows = {**one.day_rows, **other.day_rows}
    return replace(other, written=written, seconds=one.seconds + other.seconds, day_rows=rows)


def _join_results(one: DbtTestResult, other: DbtTestResult) -> DbtTestResult:
    return replace(
        one,
        passed=one.passed and other.passed,
        failures=max(one.failures, other.failures),
        seconds=one.seconds + other.seconds,
        message=one.message or other.message,
        samples=one.samples or other.samples,
        ran=one.ran and other.ran,
    )


class AuditFailed(BuildFailed):
    """A build that was not merged; `result` says what was built, what failed and why."""

    def __init__(self, result: BuildResult) -> None:
        self.result = result
        lines = list(map(str, result.failed))
        lines += [_describe(check) for check in result.blocked_by]
        super().__init__(
            "\n".join(lines),
            unharmed=f"ref {result.ref}; nothing of this run is in it",
            next_step=f"{_advise(result)}; what was built is kept: "
            f'millpond sql --ref {result.branch} "select …"',
        )


def _advise(result: BuildResult) -> str:
    """Return what to do: free space, load days that share a key together, else fix the data or the model."""
    from millpond.lake.files import says_disk_full  # loads PyIceberg, which definitions do without

    said = [*(each.message for each in result.failed), *(check.message for check in result.blocked_by)]
    if any(map(says_disk_full, said)):
        return f"free space on the disk of {settings().staging}, or build fewer days at once, and run again"
    shared = [check for check in result.blocked_by if check.key_days and check.raw]
    if not shared:
        return "fix the data or the model and run again"
    days = f"{shared[0].key_days[0]}...{shared[0].key_days[-1]}"
    on_ref = ref_option(result.ref)
    commands = (f'`millpond materialize "{asset}*" --range {days}{on_ref}`' for asset in shared[0].raw)
    return f"{' and '.join(commands)} loads these days together, so that each row is on one day"


def _describe(check: DbtTestResult) -> str:
    rows = "row" if check.failures == 1 else "rows"
    lines = [f"check {check.check} of {check.model} failed for {check.failures} {rows}: {check.description}"]
    if check.message:
        lines = [f"check {check.check} of {check.model} could not run: {check.message}"]
    for sample in check.samples[:_SHOWN]:
        lines.append("  " + ", ".join(f"{k}={v}" for k, v in sample.items() if v is not None))
    if check.key_days:
        days = " and ".join(check.key_days[:_SHOWN]) + (" and more" if len(check.key_days) > _SHOWN else "")
        lines.append(f"  the same key is on {days}: a row has moved from one day to another")
    return "\n".join(lines)
