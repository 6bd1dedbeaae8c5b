"""PagerDuty, Events API v2: an incident that is resolved with its alerts.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from millpond.alerts.alert import compose, join_lines
from millpond.alerts.channels.http import send_request
from millpond.alerts.message import Message
from millpond.redaction import redacted, register

_SUMMARY_LIMIT = 1024


class PagerDutyChannel:
    """Sends events; PagerDuty drops duplicates by `dedup_key`."""

    name = "pagerduty"
    incidents = True

    def __init__(self, key: SecretStr, url: str) -> None:
        self._key, self._url = key.get_secret_value(), url
        register(self._key)

    def send(self, message: Message) -> None:
        """Open or close the incident; raises AlertNotSent."""
        send_request(self.name, "POST", self._url, body={"routing_key": self._key, **build_event(message)})


def build_event(message: Message) -> dict[str, Any]:
    """Return the message as PagerDuty's event, without the key."""
    if message.action == "resolve":
        return {"event_action": "resolve", "dedup_key": message.incident}
    details = {
        "Reason": message.text,
        "Unharmed": message.unharmed,
        "Next": message.next_step,
        **message.facts,
        "Runbook": message.runbook,
    }
    links = [{"href": message.runbook, "text": "What to do"}]
    if message.url:
        links.insert(0, {"href": message.url, "text": "View logs"})
    cause = message.subject(_SUMMARY_LIMIT // 2 - 12)
    return {
        "event_action": "trigger",
        "dedup_key": message.incident,
        "client": "Millpond",
        "links": links,
        "payload": {
            "summary": join_lines(compose(cause, message.unharmed, message.next_step, _SUMMARY_LIMIT)),
            "source": "millpond",
            "severity": message.severity,
            "component": message.facts.get("Asset", ""),
            "class": message.alert.kind,
            "custom_details": {name: redacted(value) for name, value in details.items() if value},
        },
    }
