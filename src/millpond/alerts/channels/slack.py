"""Slack, by an incoming webhook: what failed, why, and a button to the run."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from millpond.alerts.channels.http import ask, keep_secret
from millpond.alerts.message import Message
from millpond.redaction import redacted

_TEXT_LIMIT = 2900
"""Slack takes 3000 characters a block."""


class SlackChannel:
    """Posts to the webhook. Slack cannot tell a message that it has seen: its id is the `block_id`."""

    name = "slack"
    incidents = False

    def __init__(self, webhook: SecretStr) -> None:
        self._webhook = webhook.get_secret_value()
        keep_secret(self._webhook)

    def send(self, message: Message) -> None:
        """Post the message; raises AlertNotSent, which does not quote the webhook's address."""
        ask(self.name, "POST", self._webhook, body=blocks(message))


def blocks(message: Message) -> dict[str, Any]:
    """Return the message as Slack's blocks, with a plain text for notifications."""
    fields = [_text(f"*{name}*\n{_escaped(value)}"[:_TEXT_LIMIT]) for name, value in message.facts.items()]
    header = {"type": "plain_text", "text": message.title[:150]}
    parts: list[dict[str, Any]] = [{"type": "header", "block_id": message.id, "text": header}]
    if fields:
        parts.append({"type": "section", "fields": fields})
    if message.text:
        shown = _escaped(message.text)[:_TEXT_LIMIT]
        quoted = shown if message.is_digest or message.action == "resolve" else f"```{shown}```"
        parts.append({"type": "section", "text": _text(quoted)})
    if message.url and not message.is_digest:
        label = {"type": "plain_text", "text": "View logs"}
        parts.append({"type": "actions", "elements": [{"type": "button", "text": label, "url": message.url}]})
    parts.append({"type": "context", "elements": [_text(_escaped(message.footer))]})
    return {"text": _escaped(message.title), "blocks": parts}


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    """Return `text` so that Slack reads no mention, link or end of a code block in it."""
    safe = redacted(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("```", "'''")
