"""A message to a channel: one alert, or a digest of many alerts of one kind, opened or resolved."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from millpond.alerts.alert import Alert, compose, compose_headline
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
REPEAT = "This may be a duplicate: an earlier attempt was interrupted before it was confirmed."


@dataclass(frozen=True)
class Attachment:
    """A file for channels that take files: its name, subtype of `text` and content."""

    name: str
    subtype: str
    content: str


@dataclass(frozen=True)
class Message:
    """Alerts of one kind; `id` stays the same while the outcome of an attempt is unknown.

    `incident` is the key of the incident in services that keep incidents. `repeat` says that an earlier
    attempt may have arrived.
    """

    id: str
    action: Action
    alerts: tuple[Alert, ...]
    incident: str
    repeat: bool = False
    tries: int = 1
    attachment: Attachment | None = None

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
        """The highest severity of its alerts."""
        return max((alert.severity for alert in self.alerts), key=SEVERITIES.index)

    @property
    def title(self) -> str:
        """The message on one line."""
        prefix = "Resolved: " if self.action == "resolve" else ""
        if not self.is_digest:
            return prefix + self.alert.title
        return f"{prefix}{len(self.alerts)} alerts: {KINDS[self.alert.kind].plural}"

    @property
    def text(self) -> str:
        """The cause of one alert, the titles and causes of many, never more than a screen."""
        if not self.is_digest:
            return self.alert.resolution if self.action == "resolve" else self.alert.excerpt
        lines = [
            f"• {compose_headline(alert.title, _redact_reason(alert), _LINE_LIMIT)}"
            for alert in self.alerts[:_LINES]
        ]
        more = len(self.alerts) - len(lines)
        rest = [f"… and {more} more: `millpond alerts list --kind {self.alert.kind}`"] if more else []
        return "\n".join([*lines, *rest])

    @property
    def unharmed(self) -> str:
        """What is unharmed; empty for a resolved alert."""
        return redacted(self.alert.unharmed) if self.action == "tell" else ""

    @property
    def next_step(self) -> str:
        """What to do next; empty for a resolved alert."""
        if self.action == "resolve":
            return ""
        if self.is_digest:
            return f"see all of them: millpond alerts list --kind {self.alert.kind}"
        return redacted(self.alert.next_step)

    def subject(self, limit: int, prefix: str = "") -> str:
        """Return title and cause as one line of at most `limit` characters."""
        cause = "" if self.is_digest or self.action == "resolve" else _redact_reason(self.alert)
        return prefix + compose_headline(redacted(self.title), cause, limit - len(prefix))

    def body(self, limit: int) -> str:
        """Return cause, what is unharmed and the next step, of at most `limit` characters.

        Only the cause is ever cut.
        """
        return compose(redacted(self.text), self.unharmed, self.next_step, limit)

    @property
    def facts(self) -> dict[str, str]:
        """Further facts for people, by name."""
        if not self.is_digest:
            return self.alert.facts
        first, last = min(map(_read_created_at, self.alerts)), max(map(_read_created_at, self.alerts))
        owners = sorted({owner for alert in self.alerts for owner in alert.owners})
        span = {
            "Between": f"{first:%Y-%m-%d %H:%M} and {last:%H:%M} UTC",
            "Owner": ", ".join(owners[:_LINES]),
        }
        return {name: value for name, value in {**span, "Severity": self.severity}.items() if value}

    @property
    def runbook(self) -> str:
        """Address of the runbook's entry."""
        return runbook_page(self.alert.kind)

    @property
    def url(self) -> str:
        """The page of the run or backfill; empty if there is none."""
        return self.alert.run_url

    @property
    def footer(self) -> str:
        """How to find the alert later, and its entry in the runbook."""
        shown = f"millpond alerts show {self.alert.id}" if self.alert.id else "millpond alerts list"
        return f"`{shown}` · what to do: {self.runbook}" + (f"\n{REPEAT}" if self.repeat else "")

    @property
    def plain(self) -> str:
        """The whole message as plain text."""
        facts = "\n".join(f"{name}: {value}" for name, value in self.facts.items())
        return "\n\n".join(part for part in (self.body(_BODY_LIMIT), facts, self.url, self.footer) if part)


def _redact_reason(alert: Alert) -> str:
    return redacted(alert.reason)


def _read_created_at(alert: Alert) -> dt.datetime:
    moment = alert.created_at or dt.datetime.now(dt.UTC)
    return moment.astimezone(dt.UTC)
