"""A webhook that accepts JSON. A repeated message has the Idempotency-Key of the first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import SecretStr

from millpond.alerts.channels.http import keep_secret, send_request
from millpond.alerts.message import Message
from millpond.redaction import redacted

_LIMIT = 100
_FIELDS = (
    "id",
    "kind",
    "severity",
    "title",
    "reason",
    "unharmed",
    "next_step",
    "assets",
    "checks",
    "partition",
    "owners",
    "tags",
)
_MORE = ("ref", "run_id", "run_url", "dedup_key", "times")


class WebhookChannel:
    """Posts to the address."""

    name = "webhook"
    incidents = False

    def __init__(self, url: SecretStr) -> None:
        self._url = url.get_secret_value()
        keep_secret(self._url)

    def send(self, message: Message) -> None:
        """Post the message; raises AlertNotSent."""
        send_request(
            self.name,
            "POST",
            self._url,
            body=build_document(message),
            headers={"Idempotency-Key": message.id},
        )


def build_document(message: Message) -> dict[str, Any]:
    """Return the message with its first 100 alerts, as plain values."""
    return {
        "message": message.id,
        "action": message.action,
        "incident": message.incident,
        "severity": message.severity,
        "title": redacted(message.title),
        "text": redacted(message.text),
        "unharmed": message.unharmed,
        "next_step": message.next_step,
        "runbook": message.runbook,
        "repeat": message.repeat,
        "count": len(message.alerts),
        "alerts": [
            {name: value for name, value in asdict(alert).items() if name in _FIELDS + _MORE}
            for alert in message.alerts[:_LIMIT]
        ],
    }
