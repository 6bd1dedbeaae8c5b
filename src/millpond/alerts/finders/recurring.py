"""Days of an asset that fail again for the cause of an open alert belong to it, not to a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from millpond.alerts.alert import Alert
from millpond.alerts.days import days_in, partition_of, with_days
from millpond.alerts.finders.events import Ask, asking
from millpond.alerts.finders.failed_run import FAILURES
from millpond.alerts.finders.known import Known
from millpond.alerts.finders.recoveries import days_left
from millpond.alerts.recording import is_recorded, open_alerts, resolve
from millpond.alerts.tables import Connection

_NOTIFY_AGAIN = """
    update alert_deliveries set state = 'pending', attempts = 0, next_attempt = clock_timestamp(),
        created_at = clock_timestamp(), message = null, uncertain = false
    where alert = %s and action = 'tell' and state in ('delivered', 'abandoned')
"""


def joined(connection: Connection, found: Iterable[Alert], known: Known) -> Iterator[Alert]:
    """Yield what was found, a repeated failure as the open alert it belongs to, with the days of both."""
    for alert in found:
        if alert.kind in FAILURES and alert.lasts and not is_recorded(connection, alert):
            with asking() as ask:
                yield _joined(connection, ask, alert, known)
        else:
            yield alert


def _joined(connection: Connection, ask: Ask, alert: Alert, known: Known) -> Alert:
    days = set(days_in(alert.partition))
    same = [each for each in open_alerts(connection, *FAILURES) if _is_same(each, alert, days)]
    if not same:
        return alert
    first, *others = same
    before = set[str]()
    for each in same:
        before |= days_left(ask, each, known) - {""}
    still = days_left(ask, alert, known) - {""}
    if days and not before | still:
        return alert  # all of them were made meanwhile, which the look for recoveries finds
    for each in others:
        resolve(connection, each, f"Its days are in alert {first.id} now, which has the same cause.")
    partition = partition_of(before | still) if days else ""
    title, next_step = with_days(alert.title, alert.next_step, alert.partition, partition, alert.ref)
    reason, unharmed = [alert.reason], [alert.unharmed]
    if before - days:  # what this failure says nothing of
        reason += [line for line in first.reason.splitlines() if line not in alert.reason]
        unharmed += [first.unharmed] if first.unharmed not in alert.unharmed else []
    if still - set(days_in(first.partition)):
        connection.execute(_NOTIFY_AGAIN, (first.id,))
    return replace(
        alert,
        dedup_key=first.dedup_key,
        title=title,
        partition=partition,
        reason="\n".join(reason),
        unharmed="; ".join(unharmed),
        next_step=next_step,
        assets=tuple(sorted({*first.assets, *alert.assets})),
        causes=tuple(sorted({*first.causes, *alert.causes})),
    )


def _is_same(there: Alert, alert: Alert, days: set[str]) -> bool:
    """Return whether `alert` is about what `there` is about; together they claim no day that did not fail."""
    before, mine, theirs = set(days_in(there.partition)), set(alert.assets), set(there.assets)
    if there.ref != alert.ref or bool(before) != bool(days):
        return False
    if not mine and there.job != alert.job:
        return False
    if there.causes and not set(there.causes) & set(alert.causes):
        return False
    if before and not before & days:
        return False
    within = mine <= theirs and days <= before
    around = mine >= theirs and days >= before
    return mine == theirs or within or around
