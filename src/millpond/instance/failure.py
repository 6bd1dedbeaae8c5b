"""What a failed step says of its failure: its own words, the kind of error, the days it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millpond.internals.dagster import StepFailureData
from millpond.internals.dagster_on_demand import SerializableErrorInfo

_WRAPPERS = ("Dagster", "RetryRequested")
"""What Dagster raises around an error of ours; its last retry says how often it tried, not why it failed."""

INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
"""Errors that say that a run was stopped."""


@dataclass(frozen=True)
class DayFailure:
    """Why the days of a window (`2026-11-01` or `2026-11-01...2026-11-03`) failed."""

    days: str
    error: str
    reason: str
    unharmed: str = ""
    next: str = ""


def read_failed_days(data: StepFailureData) -> tuple[DayFailure, ...]:
    """Return what failed by days, empty where the step does not tell them apart."""
    found = _metadata(data, "failures")
    return tuple(DayFailure(**one) for one in found) if isinstance(found, list) else ()


def error_name(data: StepFailureData) -> str:
    """Return the name of the error's class; several, joined by commas, where a step had several."""
    given = _metadata(data, "error")
    return str(given) if given else getattr(_cause(data.error), "cls_name", None) or "unknown"


def reason(error: Any) -> str:
    """Return what the code said that failed, without the frames of Dagster around it."""
    error = _cause(error)
    if not isinstance(error, SerializableErrorInfo):
        return "it failed without an error"
    before, colon, text = error.message.partition(f"{error.cls_name}: ")
    return (text if colon and not before.strip().count(" ") else error.message).strip()


def is_interrupt(error: Any) -> bool:
    """Return whether the error, or one it came from, is Ctrl-C."""
    while isinstance(error, SerializableErrorInfo):
        if error.cls_name in INTERRUPTS:
            return True
        error = error.cause
    return False


def _cause(error: Any) -> Any:
    while (
        isinstance(error, SerializableErrorInfo)
        and error.cause
        and (error.cls_name or "").startswith(_WRAPPERS)
    ):
        error = error.cause
    return error


def _metadata(data: StepFailureData, name: str) -> Any:
    value = data.user_failure_data and data.user_failure_data.metadata.get(name)
    return value.value if value else None
