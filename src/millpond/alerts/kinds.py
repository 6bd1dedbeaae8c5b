"""Every kind of alert there is; each has an entry of the same name in docs/runbook.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "error", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "error", "critical")
"""From the least to the most urgent."""

_AS_BEFORE = "what the run had completed; everything else is as it was before the run"
_RUN = 'millpond materialize "{assets}"{days}'
_AGAIN = f"fix the cause, then run: {_RUN}"
_NOTHING = "there is nothing to do"


@dataclass(frozen=True)
class Kind:
    """A kind of alert; one that `lasts` stays open until it is resolved, the others only inform.

    `unharmed` and `next_step` are used where an alert has none of its own; `{assets}` and `{days}` are filled
    with the alert's assets and the options that name its days and its branch.
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
        Kind("retries_exhausted", "critical", "runs failed after all their retries", _AS_BEFORE, _AGAIN),
        Kind(
            "blocking_check_failed",
            "error",
            "runs were stopped by a check",
            "what readers see: nothing that depends on the failed check was published",
            'fix the data or the rule, then run: millpond materialize "{assets}"{days}',
        ),
        Kind("run_stopped", "info", "runs were stopped", _AS_BEFORE, f"to go on, run: {_RUN}", lasts=False),
        Kind(
            "days_unreachable",
            "info",
            "loads asked for days that the source no longer serves",
            "what was loaded for these days while the source still served them, and all other days",
            f"{_NOTHING}; leave these days out of later loads",
            lasts=False,
        ),
        Kind(
            "check_failed",
            "warning",
            "checks failed",
            "the data was published: this check does not stop a run",
            "compare the numbers with the source; if they are right, change the check's threshold",
        ),
        Kind(
            "quarantine",
            "warning",
            "loads put many rows into quarantine",
            "the valid rows are loaded, the others are kept with reason and payload",
            "look at the reasons in the table of layer quarantine; docs/runbook.md has the statement",
        ),
        Kind(
            "partition_late",
            "error",
            "partitions are late",
            "everything that was made before",
            'see why: millpond alerts list --all; then run: millpond materialize "{assets}"{days}',
        ),
        Kind(
            "breaker_open",
            "error",
            "sources are left alone",
            "what was loaded before, and all other hosts",
            "see whether the source is up: millpond sources list",
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
            "assets of others are late",
            "everything that was made; what waits for the day was not started",
            "ask the owner of the asset; the run starts by itself once the day is there",
        ),
        Kind(
            "external_failed",
            "error",
            "assets of others failed",
            "everything that was made; what waits for the day was not started",
            "ask the owner of the asset; the run starts by itself once the day is there",
        ),
        Kind(
            "not_published",
            "error",
            "marts do not hold yesterday yet",
            "the marts; readers see the days before",
            'see why: millpond alerts list; then run: millpond materialize "*"{days}',
        ),
        Kind(
            "tick_failed",
            "error",
            "sensors or schedules fail",
            "runs that were started; the next tick looks at the same things again",
            "fix the error that the tick shows; the alert closes with the next tick that succeeds",
        ),
        Kind(
            "daemon_silent",
            "critical",
            "daemons are silent",
            "all data, running runs and open alerts",
            "see which part does not run, and its log: millpond status",
        ),
        Kind(
            "backfill_finished",
            "info",
            "backfills finished",
            "all days that were made",
            "see what is left: millpond backfill list",
            lasts=False,
        ),
        Kind("success_summary", "info", "daily summaries", "everything", _NOTHING, lasts=False),
        Kind("test", "info", "tests", "everything", _NOTHING, lasts=False),
    )
}
