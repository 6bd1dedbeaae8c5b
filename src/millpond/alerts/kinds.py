"""Every kind of alert there is; each has an entry of the same name in docs/runbook.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "error", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "error", "critical")
"""From the least to the most urgent."""


@dataclass(frozen=True)
class Kind:
    """A kind of alert; one that `lasts` stays open until it is resolved, the others only tell something."""

    name: str
    severity: Severity
    plural: str
    lasts: bool = True


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("run_failed", "error", "runs failed"),
        Kind("retries_exhausted", "critical", "runs failed after all their retries"),
        Kind("blocking_check_failed", "error", "runs were stopped by a check"),
        Kind("check_failed", "warning", "checks failed"),
        Kind("quarantine", "warning", "loads put many rows into quarantine"),
        Kind("partition_late", "error", "partitions are late"),
        Kind("breaker_open", "error", "sources are left alone"),
        Kind("message_rejected", "error", "messages of the queue were rejected", lasts=False),
        Kind("external_late", "error", "assets of others are late"),
        Kind("external_failed", "error", "assets of others failed"),
        Kind("not_published", "error", "marts do not hold yesterday yet"),
        Kind("tick_failed", "error", "sensors or schedules fail"),
        Kind("daemon_silent", "critical", "daemons are silent"),
        Kind("backfill_finished", "info", "backfills finished", lasts=False),
        Kind("success_summary", "info", "daily summaries", lasts=False),
        Kind("test", "info", "tests", lasts=False),
    )
}


def runbook_entry(kind: str) -> str:
    """Return where the runbook says what to do about this kind."""
    return f"docs/runbook.md#{kind}"
