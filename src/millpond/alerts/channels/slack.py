"""Slack, by an incoming webhook: what failed, why, and a button to the run."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from millpond.alerts.alert import cut, one_line, units
from millpond.alerts.channels.http import ask, keep_secret
from millpond.alerts.message import Message
from millpond.redaction import redacted

_TEXT_LIMIT, _FIELD_LIMIT, _HEADER_LIMIT = 2900, 1900, 150
"""Slack takes 3000 characters a section, 2000 a field, 150 a header."""


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
    header = {"type": "plain_text", "text": cut(one_line(redacted(message.title)), _HEADER_LIMIT)}
    parts: list[dict[str, Any]] = [{"type": "header", "block_id": message.id, "text": header}]
    if message.text:
        plain = message.is_digest or message.action == "resolve"
        shown = _escape(cut(redacted(message.text), _TEXT_LIMIT, _size))
        parts.append({"type": "section", "text": _text(shown if plain else f"```{shown}```")})
    ends = (("Unharmed", message.unharmed), ("Next", message.next_step))
    if kept := [f"*{name}:* {_escape(cut(text, _TEXT_LIMIT // 3, _size))}" for name, text in ends if text]:
        parts.append({"type": "section", "text": _text("\n".join(kept))})
    if facts := message.facts:
        fields = [_text(f"*{name}*\n{_escape(cut(v, _FIELD_LIMIT, _size))}") for name, v in facts.items()]
        parts.append({"type": "section", "fields": fields})
    if message.url and not message.is_digest:
        label = {"type": "plain_text", "text": "View logs"}
        parts.append({"type": "actions", "elements": [{"type": "button", "text": label, "url": message.url}]})
    parts.append({"type": "context", "elements": [_text(_escape(message.footer))]})
    return {"text": _escape(message.subject(_FIELD_LIMIT)), "blocks": parts}


def _size(text: str) -> int:
    return units(_escape(text))


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _escape(text: str) -> str:
    """Return `text` so that Slack reads no mention, link or end of a code block in it."""
    safe = redacted(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("```", "'''")
