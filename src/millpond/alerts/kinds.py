"""Every kind of alert there is; each has an entry of the same name in docs/runbook.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "error", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "error", "critical")
"""From the least to the most urgent."""

_AS_BEFORE = "what the run completed; everything else is as it was before the run"
_RUN = 'millpond materialize "{assets}"{days}'
_AGAIN = f"fix the cause, then run: {_RUN}"
_NOTHING = "there is nothing to do"


@dataclass(frozen=True)
class Kind:
    """A kind of alert; one that `lasts` stays open until it is resolved, the others only inform.

    `unharmed` and `next_step` are the defaults of its alerts; `{assets}` and `{days}` stand for the alert's
    assets and for the options that name its days and its branch.
    """

    name: str
    severity: Severity
    plural: str
    unharmed: str
    next_step: str
    lasts: bool = True


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("run_failed", "error", "runs failed", _AS_BEFORE, _AGAIN),
        Kind("retries_exhausted", "critical", "runs failed and have no retries left", _AS_BEFORE, _AGAIN),
        Kind(
            "blocking_check_failed",
            "error",
            "runs were stopped by a check",
            "what readers see: nothing that depends on the failed check was published",
            'fix the data or the rule, then run: millpond materialize "{assets}"{days}',
        ),
        Kind(
            "run_stopped", "info", "runs were stopped", _AS_BEFORE, f"to continue, run: {_RUN}", lasts=False
        ),
        Kind(
            "days_unreachable",
            "info",
            "loads requested days that the source no longer serves",
            "what was loaded for these days earlier, and all other days",
            f"{_NOTHING}; leave these days out of later loads",
            lasts=False,
        ),
        Kind(
            "check_failed",
            "warning",
            "checks failed",
            "the data, which was published: this check does not block a run",
            "compare the numbers with the source; if they are right, change the threshold of the check",
        ),
        Kind(
            "quarantine",
            "warning",
            "loads put many rows into quarantine",
            "the valid rows, which were loaded; the others are kept with reason and payload",
            "query the reasons in the quarantine table; docs/runbook.md has the statement",
        ),
        Kind(
            "partition_late",
            "error",
            "partitions are late",
            "everything that was materialized before",
            'see why: millpond alerts list --all; then run: millpond materialize "{assets}"{days}',
        ),
        Kind(
            "breaker_open",
            "error",
            "circuit breakers are open",
            "what was loaded before, and all other hosts",
            "check whether the source is up: millpond sources list",
        ),
        Kind(
            "message_rejected",
            "error",
            "messages of the queue were rejected",
            "the message, which is in the dead-letter queue, and all other messages",
            "fix what the reason names and send the message again",
            lasts=False,
        ),
        Kind(
            "external_late",
            "error",
            "external assets are late",
            "everything that was materialized; what waits for the day was not started",
            "ask the owner of the asset; the run starts when the day arrives",
        ),
        Kind(
            "external_failed",
            "error",
            "external assets failed",
            "everything that was materialized; what waits for the day was not started",
            "ask the owner of the asset; the run starts when the day arrives",
        ),
        Kind(
            "not_published",
            "error",
            "marts do not hold yesterday yet",
            "the marts, which hold the days before",
            'see why: millpond alerts list; then run: millpond materialize "*"{days}',
        ),
        Kind(
            "dashboard_broken",
            "error",
            "dashboards lack a mart or a column",
            "the marts, and all charts that are not named",
            "see what is missing, and in which charts: millpond bi check",
        ),
        Kind(
            "tick_failed",
            "error",
            "sensors or schedules fail",
            "runs that were started; the next tick evaluates the same again",
            "fix the error of the tick; the next successful tick resolves the alert",
        ),
        Kind(
            "daemon_silent",
            "critical",
            "daemons sent no heartbeat",
            "all data, running runs and open alerts",
            "see which part is down, and its log: millpond status",
        ),
        Kind(
            "backfill_finished",
            "info",
            "backfills finished",
            "all days that were materialized",
            "see what is left to do: millpond backfill list",
            lasts=False,
        ),
        Kind("success_summary", "info", "daily summaries", "everything", _NOTHING, lasts=False),
        Kind("test", "info", "tests", "everything", _NOTHING, lasts=False),
    )
}
