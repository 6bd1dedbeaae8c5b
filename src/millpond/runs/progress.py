"""Progress and outcome of a run, from Dagster's events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dagster import AssetCheckSeverity, DagsterEvent, DagsterEventType, EventLogEntry

from millpond.errors import advice
from millpond.instance.failure import DayFailure, is_interrupt, read_error_name, read_failed_days, reason

ROWS = ("rows_loaded", "rows_postgres", "rows", "dagster/row_count")
"""Metadata with the number of rows of an asset; the first that exists is used."""


@dataclass(frozen=True)
class Progress:
    """One event: a step started, a partition is done, a check has a result, a step failed.

    `asset` and `partition` (None for an asset without partitions) are given for `materialized` and `skipped`
    (its source serves the day no more: `message` says how far it reaches), `asset` and `check` for
    `checked`, `assets` for `started`, `retrying` (the step failed and will be repeated) and
    `failed` (none of them where the run failed and no step did). `numbers` are the numeric metadata. A
    failure names its `error`, what is `unharmed`, what to do `next`, and in `days` those it is about if it
    says so.
    """

    kind: Literal["started", "materialized", "skipped", "checked", "retrying", "failed"]
    assets: tuple[str, ...]
    partition: str | None = None
    rows: int | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    check: str | None = None
    passed: bool = True
    warning: bool = False
    message: str = ""
    error: str = ""
    unharmed: str = ""
    next: str = ""
    days: tuple[DayFailure, ...] = ()

    @property
    def asset(self) -> str:
        """The first of `assets`."""
        return self.assets[0]


@dataclass(frozen=True)
class AssetOutcome:
    """What a run did to one asset; `numbers` are sums over its partitions, `rows` is None if unknown."""

    asset: str
    partitions: int
    rows: int | None
    seconds: float
    numbers: dict[str, float]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    `assets` were materialized, at least in part; `failures` and failed `checks` say why others were not;
    `missing` were planned and are not in `assets`. `skipped` are days that a source serves no more.
    """

    run_id: str
    success: bool
    seconds: float
    assets: tuple[AssetOutcome, ...]
    failures: tuple[Progress, ...]
    checks: tuple[Progress, ...]
    missing: tuple[str, ...]
    skipped: tuple[Progress, ...] = ()
    left_out: tuple[str, ...] = ()
    """A sentence for each selected asset that was not in the run, as it cannot be built yet."""


class RunProgress:
    """Listens to the events of one run, passes them to `on_event` and collects the outcome."""

    def __init__(
        self, on_event: Callable[[Progress], None] | None, on_interrupt: Callable[[], None] = lambda: None
    ) -> None:
        self._tell, self._on_interrupt = on_event or (lambda _: None), on_interrupt
        self.interrupted = False
        self._assets_of: defaultdict[str, list[str]] = defaultdict(list)
        self._done: defaultdict[str, dict[str | None, Progress]] = defaultdict(dict)
        self._seconds: dict[str, float] = {}
        self._failures: list[Progress] = []
        self._checks: list[Progress] = []
        self._skipped: list[Progress] = []

    def __call__(self, entry: EventLogEntry) -> None:
        """Handle one event.

        Dagster treats Ctrl-C as a failure of the step and may retry it. Here, `on_interrupt` is called and
        the step is not retried.
        """
        if entry.dagster_event is None:
            return
        self._handle_interrupt(entry.dagster_event)
        if (happened := self._interpret(entry.dagster_event)) is None:
            return
        if happened.kind == "materialized":
            self._done[happened.asset][happened.partition] = happened
        elif happened.kind == "failed":
            self._failures.append(happened)
        elif happened.kind == "checked":
            self._checks.append(happened)
        elif happened.kind == "skipped":
            self._skipped.append(happened)
        self._tell(happened)

    def outcome(self, run_id: str, success: bool, seconds: float) -> RunOutcome:
        """Return the outcome of the events so far."""
        planned = {asset: step for step, assets in self._assets_of.items() for asset in assets}
        return RunOutcome(
            run_id,
            success,
            seconds,
            tuple(self._asset(asset, planned[asset]) for asset in planned if asset in self._done),
            tuple(self._failures),
            tuple(self._checks),
            tuple(asset for asset in planned if asset not in self._done),
            tuple(self._skipped),
        )

    def _handle_interrupt(self, event: DagsterEvent) -> None:
        error = getattr(event.event_specific_data, "error", None)
        if self.interrupted or not is_interrupt(error):
            return
        self.interrupted = True
        if event.event_type != DagsterEventType.RUN_FAILURE:
            self._on_interrupt()
        if event.event_type == DagsterEventType.STEP_UP_FOR_RETRY:
            raise KeyboardInterrupt

    def _interpret(self, event: DagsterEvent) -> Progress | None:
        step = event.step_key or ""
        match event.event_type:
            case DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
                asset = _name(event)
                if asset not in self._assets_of[step]:
                    self._assets_of[step].append(asset)
            case DagsterEventType.STEP_START if step in self._assets_of:
                return Progress("started", self._names(step))
            case DagsterEventType.STEP_SUCCESS:
                self._seconds[step] = event.step_success_data.duration_ms / 1000
            case DagsterEventType.ASSET_MATERIALIZATION:
                return _read_materialization(event)
            case DagsterEventType.ASSET_FAILED_TO_MATERIALIZE:
                skipped = event.asset_failed_to_materialize_data.asset_materialization_failure
                why = skipped.description or ""
                return Progress("skipped", (_name(event),), event.partition, message=why)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                return _read_check(event)
            case DagsterEventType.STEP_UP_FOR_RETRY:
                why = reason(event.step_retry_data.error)
                return Progress("retrying", self._names(step), passed=False, message=why)
            case DagsterEventType.STEP_FAILURE:
                data = event.step_failure_data
                why = reason(data.error)
                unharmed, next_step = advice(why)
                return Progress(
                    "failed",
                    self._names(step),
                    passed=False,
                    message=why,
                    error=read_error_name(data),
                    unharmed=unharmed,
                    next=next_step,
                    days=read_failed_days(data),
                )
            case DagsterEventType.RUN_FAILURE if not self._failures and not self.interrupted:
                error = getattr(event.event_specific_data, "error", None)
                why = reason(error) if error else event.message or ""
                return Progress("failed", (), passed=False, message=why)
        return None

    def _names(self, step: str) -> tuple[str, ...]:
        return tuple(self._assets_of.get(step, [])) or (step,)

    def _asset(self, asset: str, step: str) -> AssetOutcome:
        done = list(self._done[asset].values())
        numbers: defaultdict[str, float] = defaultdict(int)
        for one in done:
            for name, value in one.numbers.items():
                numbers[name] += value
        rows = [one.rows for one in done if one.rows is not None]
        seconds = numbers.get("seconds", self._seconds.get(step, 0.0))
        return AssetOutcome(asset, len(done), sum(rows) if rows else None, seconds, dict(numbers))


def _name(event: DagsterEvent) -> str:
    assert event.asset_key is not None
    return event.asset_key.to_user_string()


def _read_materialization(event: DagsterEvent) -> Progress:
    found = event.step_materialization_data.materialization.metadata
    numbers = {
        name: value.value
        for name, value in found.items()
        if isinstance(value.value, int | float) and not isinstance(value.value, bool)
    }
    rows = next((int(numbers[name]) for name in ROWS if name in numbers), None)
    return Progress("materialized", (_name(event),), event.partition, rows, numbers)


def _read_check(event: DagsterEvent) -> Progress:
    found = event.asset_check_evaluation_data
    return Progress(
        "checked",
        (found.asset_key.to_user_string(),),
        check=found.check_name,
        passed=found.passed,
        warning=found.severity == AssetCheckSeverity.WARN,
        message=found.description or "",
    )
