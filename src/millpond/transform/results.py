"""What a build did: the models it wrote and the checks it ran, in dbt's words made short."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from millpond.errors import BuildFailed
from millpond.lake.spec import Written
from millpond.naming import ref_option
from millpond.transform.checks import Check

_TOLD = 3
"""Sample rows that an error shows in its text; its result holds all."""


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
    """What dagster-dbt says of it."""


@dataclass(frozen=True)
class CheckResult:
    """A data test of dbt's; `samples` are up to 20 rows that broke it, `message` why it could not run."""

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
    """Days that share a key, which only one of them should have: a row has moved."""
    raw: tuple[str, ...] = ()
    """The raw assets that its table is made of."""
    ran: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What dagster-dbt says of it."""

    @classmethod
    def of(cls, check: Check, result: Any, **more: Any) -> CheckResult:
        """Return the result of `check` as dbt's `result` says."""
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
    def not_run(cls, check: Check, why: str) -> CheckResult:
        """Return that `check` was not run, which is no pass and blocks nothing."""
        message = f"not run: {why}"
        return cls(check.asset, check.name, check.description, False, False, 0, 0.0, message, ran=False)

    def with_metadata(self, metadata: Mapping[str, Any]) -> CheckResult:
        """Return the result with what dagster-dbt says of it."""
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
    """A whole build. `branch` is gone once it was merged into `ref`."""

    ref: str
    branch: str
    merged: bool
    models: tuple[ModelBuilt, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    failed: tuple[ModelFailed, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    """What dbt warns of, with file and node."""
    passed: tuple[str, ...] = ()
    """The unique_ids of the tests that passed."""

    @property
    def blocked_by(self) -> tuple[CheckResult, ...]:
        """The checks that keep the build from being merged, those of upstream models first."""
        order = {built.model: number for number, built in enumerate(self.models)}
        found = [check for check in self.checks if check.blocking and not check.passed]
        return tuple(sorted(found, key=lambda check: order.get(check.model, len(order))))

    @property
    def root(self) -> str:
        """The model that broke first; empty where none did."""
        models = [failed.model for failed in self.failed] + [check.model for check in self.blocked_by]
        return next(iter(models), "")


def joined(builds: Sequence[BuildResult]) -> BuildResult:
    """Return builds of several windows as one."""
    if len(builds) == 1:
        return builds[0]
    models: dict[str, ModelBuilt] = {}
    checks: dict[tuple[str, str], CheckResult] = {}
    for build in builds:
        for built in build.models:
            before = models.get(built.model)
            models[built.model] = _also(before, built) if before and built.written.day_hashes else built
        for check in build.checks:
            first = checks.get((check.model, check.check))
            checks[check.model, check.check] = _worse(first, check) if first else check
    return replace(
        builds[-1],
        models=tuple(models.values()),
        checks=tuple(checks.values()),
        warnings=tuple(dict.fromkeys(text for build in builds for text in build.warnings)),
        seconds=sum(build.seconds for build in builds),
    )


def _also(one: ModelBuilt, other: ModelBuilt) -> ModelBuilt:
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


def _worse(one: CheckResult, other: CheckResult) -> CheckResult:
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
        lines += [_told(check) for check in result.blocked_by]
        super().__init__(
            "\n".join(lines),
            unharmed=f"ref {result.ref}; nothing of this run is in it",
            next_step=f"{_cure(result)}; what was built is kept for a look: "
            f'millpond sql --ref {result.branch} "select …"',
        )


def _cure(result: BuildResult) -> str:
    """Return what to do: load days together that share a key, or else fix what is wrong."""
    shared = [check for check in result.blocked_by if check.key_days and check.raw]
    if not shared:
        return "fix the data or the model and run again"
    days = f"{shared[0].key_days[0]}...{shared[0].key_days[-1]}"
    on_ref = ref_option(result.ref)
    commands = (f'`millpond materialize "{asset}*" --range {days}{on_ref}`' for asset in shared[0].raw)
    return f"{' and '.join(commands)} loads these days together, which leaves each row on its day"


def _told(check: CheckResult) -> str:
    rows = "row" if check.failures == 1 else "rows"
    lines = [f"check {check.check} of {check.model} failed for {check.failures} {rows}: {check.description}"]
    if check.message:
        lines = [f"check {check.check} of {check.model} could not run: {check.message}"]
    for sample in check.samples[:_TOLD]:
        lines.append("  " + ", ".join(f"{k}={v}" for k, v in sample.items() if v is not None))
    if check.key_days:
        days = " and ".join(check.key_days[:_TOLD]) + (" and more" if len(check.key_days) > _TOLD else "")
        lines.append(f"  the same key is on {days}: a row has moved from one day to another")
    return "\n".join(lines)
