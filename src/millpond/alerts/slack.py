"""Slack, by an incoming webhook: a message with what failed, why, and a button to the run."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from millpond.alerts.event import RunFailed
from millpond.errors import AlertNotSent
from millpond.redaction import excerpt, redacted, register

_SECONDS = (2.0, 3.0)
"""To connect, and between two pieces of an answer."""
_PAUSES = (0.3, 1.0)
"""Before the second and the third try; a tick of the sensor has a minute for five runs."""
_TEXT_LIMIT = 2900
"""Slack takes 3000 characters a block."""


class _Passing(Exception):
    """Slack could not take the message now."""


class SlackChannel:
    """Posts to the webhook, three times at most."""

    name = "slack"

    def __init__(self, webhook: SecretStr) -> None:
        self._webhook = webhook
        address = urlsplit(webhook.get_secret_value())
        for secret in (webhook.get_secret_value(), address.path, address.path.rsplit("/", 1)[-1]):
            register(secret)

    def send(self, event: RunFailed) -> None:
        """Post the event; raises AlertNotSent, which does not quote the webhook's address."""
        reason = ""
        for pause in (0.0, *_PAUSES):
            time.sleep(pause)
            try:
                return self._post(message(event))
            except _Passing as error:
                reason = str(error)
        raise AlertNotSent(
            f"Slack did not take the alert about run {event.run_id}: {reason}",
            unharmed="the run's record; the alert is in the log",
            next_step="see whether Slack is up; this alert is not sent again",
        )

    def _post(self, body: dict[str, Any]) -> None:
        try:
            answer = requests.post(
                self._webhook.get_secret_value(), json=body, timeout=_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _Passing(redacted(f"{type(error).__name__}: {error}")) from None
        if answer.status_code == requests.codes.too_many or answer.status_code >= 500:
            raise _Passing(f"it answered {answer.status_code} {excerpt(answer.content)}")
        if answer.status_code != requests.codes.ok:
            raise AlertNotSent(
                f"Slack refused an alert: it answered {answer.status_code} {excerpt(answer.content)}",
                unharmed="the run's record; the alert is in the log",
                next_step="see whether the webhook in MILLPOND_SLACK_WEBHOOK still exists",
            )


def message(event: RunFailed) -> dict[str, Any]:
    """Return the event as Slack's blocks, with a plain text for notifications."""
    facts = {
        "Asset": ", ".join(event.assets),
        "Partition": event.partitions,
        "Check": ", ".join(event.checks),
        "Owner": ", ".join(event.owners),
        "Ref": event.ref,
    }
    fields = [_text(f"*{name}*\n{_escaped(value)}"[:_TEXT_LIMIT]) for name, value in facts.items() if value]
    button = {"type": "button", "text": {"type": "plain_text", "text": "View run"}, "url": event.run_url}
    return {
        "text": _escaped(event.title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": event.title[:150]}},
            {"type": "section", "fields": fields},
            {"type": "section", "text": _text(f"```{_escaped(event.excerpt)}```"[:_TEXT_LIMIT])},
            {"type": "actions", "elements": [button]},
        ],
    }


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    """Return `text` so that Slack reads no mention, link or end of a code block in it."""
    safe = redacted(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("```", "'''")
