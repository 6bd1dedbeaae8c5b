"""Reads a failed step: its message, the class of its error, and the days that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millpond.internals.dagster import StepFailureData
from millpond.internals.dagster_on_demand import SerializableErrorInfo

_WRAPPERS = ("Dagster", "RetryRequested")
"""Dagster's errors around the actual one."""

INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
"""Errors of an interrupted run."""


@dataclass(frozen=True)
class DayFailure:
    """Why the days of a window (`2026-11-01` or `2026-11-01...2026-11-03`) failed."""

    days: str
    error: str
    reason: str
    unharmed: str = ""
    next: str = ""


def read_failed_days(data: StepFailureData) -> tuple[DayFailure, ...]:
    """Return the failures by days; empty if the step does not distinguish them."""
    found = _read_metadata(data, "failures")
    return tuple(DayFailure(**one) for one in found) if isinstance(found, list) else ()


def read_error_name(data: StepFailureData) -> str:
    """Return the name of the error's class; if a step had several, joined by commas."""
    given = _read_metadata(data, "error")
    return str(given) if given else getattr(_find_cause(data.error), "cls_name", None) or "unknown"


def reason(error: Any) -> str:
    """Return the message of the original error, without Dagster's errors around it."""
    error = _find_cause(error)
    if not isinstance(error, SerializableErrorInfo):
        return "it failed without an error"
    before, colon, text = error.message.partition(f"{error.cls_name}: ")
    return (text if colon and not before.strip().count(" ") else error.message).strip()


def is_interrupt(error: Any) -> bool:
    """Return whether the error, or a cause of it, is an interrupt."""
    while isinstance(error, SerializableErrorInfo):
        if error.cls_name in INTERRUPTS:
            return True
        error = error.cause
    return False


def _find_cause(error: Any) -> Any:
    while (
        isinstance(error, SerializableErrorInfo)
        and error.cause
        and (error.cls_name or "").startswith(_WRAPPERS)
    ):
        error = error.cause
    return error


def _read_metadata(data: StepFailureData, name: str) -> Any:
    value = data.user_failure_data and data.user_failure_data.metadata.get(name)
    return value.value if value else None
