"""A message to a channel: an alert, or a digest of many of one kind; beginning or end."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from millpond.alerts.alert import Alert, compose, headline
from millpond.alerts.kinds import KINDS, SEVERITIES, Severity
from millpond.redaction import redacted
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import Settings, settings


def dagster_pages(configured: Settings) -> str:
    """Return the base address of Dagster's pages: the public one, else the local one."""
    return configured.public_url or dagster_url(configured)


def runbook_page(kind: str) -> str:
    """Return the address of the runbook's entry for this kind of alert."""
    configured = settings()
    return f"{configured.runbook_url or f'{dagster_pages(configured)}/runbook'}#{kind}"


Action = Literal["tell", "resolve"]
_LINES, _LINE_LIMIT = 10, 250
_BODY_LIMIT = 2500
REPEAT = "This may be a repeat: an earlier try was broken off before it was confirmed."


@dataclass(frozen=True)
class Message:
    """Alerts of one kind; `id` stays the same for every try whose outcome is open.

    `incident` is the key under which a receiver that keeps incidents knows it. `repeat` says that an earlier
    try may have arrived.
    """

    id: str
    action: Action
    alerts: tuple[Alert, ...]
    incident: str
    repeat: bool = False
    tries: int = 1

    @property
    def alert(self) -> Alert:
        """The first alert, which is the only one of most messages."""
        return self.alerts[0]

    @property
    def is_digest(self) -> bool:
        """Whether it stands for several alerts."""
        return len(self.alerts) > 1

    @property
    def severity(self) -> Severity:
        """The most urgent severity in it."""
        return max((alert.severity for alert in self.alerts), key=SEVERITIES.index)

    @property
    def title(self) -> str:
        """The message in one line."""
        prefix = "Resolved: " if self.action == "resolve" else ""
        if not self.is_digest:
            return prefix + self.alert.title
        return f"{prefix}{len(self.alerts)} alerts: {KINDS[self.alert.kind].plural}"

    @property
    def text(self) -> str:
        """The cause of one alert, the titles and causes of many, never more than a screen."""
        if not self.is_digest:
            return self.alert.resolution if self.action == "resolve" else self.alert.excerpt
        lines = [f"• {headline(alert.title, _cause(alert), _LINE_LIMIT)}" for alert in self.alerts[:_LINES]]
        more = len(self.alerts) - len(lines)
        rest = [f"… and {more} more: `millpond alerts list --kind {self.alert.kind}`"] if more else []
        return "\n".join([*lines, *rest])

    @property
    def unharmed(self) -> str:
        """What still stands; empty for an end."""
        return redacted(self.alert.unharmed) if self.action == "tell" else ""

    @property
    def next_step(self) -> str:
        """What to do next; empty for an end."""
        if self.action == "resolve":
            return ""
        if self.is_digest:
            return f"see all of them: millpond alerts list --kind {self.alert.kind}"
        return redacted(self.alert.next_step)

    def subject(self, limit: int, prefix: str = "") -> str:
        """Return title and cause as one line of at most `limit` characters."""
        cause = "" if self.is_digest or self.action == "resolve" else _cause(self.alert)
        return prefix + headline(redacted(self.title), cause, limit - len(prefix))

    def body(self, limit: int) -> str:
        """Return cause, what is unharmed and the next step, of at most `limit` characters.

        Only the cause is ever cut.
        """
        return compose(redacted(self.text), self.unharmed, self.next_step, limit)

    @property
    def facts(self) -> dict[str, str]:
        """What is facts besides, by name."""
        if not self.is_digest:
            return self.alert.facts
        first, last = min(map(_created, self.alerts)), max(map(_created, self.alerts))
        owners = sorted({owner for alert in self.alerts for owner in alert.owners})
        span = {
            "Between": f"{first:%Y-%m-%d %H:%M} and {last:%H:%M} UTC",
            "Owner": ", ".join(owners[:_LINES]),
        }
        return {name: value for name, value in {**span, "Severity": self.severity}.items() if value}

    @property
    def runbook(self) -> str:
        """Where to read what to do."""
        return runbook_page(self.alert.kind)

    @property
    def url(self) -> str:
        """The page to look at; empty where there is none."""
        return self.alert.run_url

    @property
    def footer(self) -> str:
        """How to find it again, and what to do."""
        shown = f"millpond alerts show {self.alert.id}" if self.alert.id else "millpond alerts list"
        return f"`{shown}` · what to do: {self.runbook}" + (f"\n{REPEAT}" if self.repeat else "")

    @property
    def plain(self) -> str:
        """All of it as plain text."""
        facts = "\n".join(f"{name}: {value}" for name, value in self.facts.items())
        return "\n\n".join(part for part in (self.body(_BODY_LIMIT), facts, self.url, self.footer) if part)


def _cause(alert: Alert) -> str:
    return redacted(alert.reason)


def _created(alert: Alert) -> dt.datetime:
    moment = alert.created_at or dt.datetime.now(dt.UTC)
    return moment.astimezone(dt.UTC)
