"""Slack, through an incoming webhook: what failed, why, and a button to the run."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from millpond.alerts.alert import count_units, cut, join_lines
from millpond.alerts.channels.http import keep_secret, send_request
from millpond.alerts.message import Message
from millpond.redaction import redacted

_TEXT_LIMIT, _FIELD_LIMIT, _HEADER_LIMIT = 2900, 1900, 150
"""Slack takes 3000 characters a section, 2000 a field, 150 a header."""


class SlackChannel:
    """Posts to the webhook. Slack does not drop duplicates; the message's id is the `block_id`."""

    name = "slack"
    incidents = False

    def __init__(self, webhook: SecretStr) -> None:
        self._webhook = webhook.get_secret_value()
        keep_secret(self._webhook)

    def send(self, message: Message) -> None:
        """Post the message; raises AlertNotSent, which does not quote the webhook's address."""
        send_request(self.name, "POST", self._webhook, body=build_blocks(message))


def build_blocks(message: Message) -> dict[str, Any]:
    """Return the message as Slack's blocks, with a plain text for notifications."""
    header = {"type": "plain_text", "text": cut(join_lines(redacted(message.title)), _HEADER_LIMIT)}
    parts: list[dict[str, Any]] = [{"type": "header", "block_id": message.id, "text": header}]
    if message.text:
        plain = message.is_digest or message.action == "resolve"
        shown = _escape(cut(redacted(message.text), _TEXT_LIMIT, _count_escaped))
        parts.append({"type": "section", "text": _to_markdown(shown if plain else f"```{shown}```")})
    ends = (("Unharmed", message.unharmed), ("Next", message.next_step))
    if kept := [
        f"*{name}:* {_escape(cut(text, _TEXT_LIMIT // 3, _count_escaped))}" for name, text in ends if text
    ]:
        parts.append({"type": "section", "text": _to_markdown("\n".join(kept))})
    if facts := message.facts:
        fields = [
            _to_markdown(f"*{name}*\n{_escape(cut(v, _FIELD_LIMIT, _count_escaped))}")
            for name, v in facts.items()
        ]
        parts.append({"type": "section", "fields": fields})
    if message.url and not message.is_digest:
        label = {"type": "plain_text", "text": "View logs"}
        parts.append({"type": "actions", "elements": [{"type": "button", "text": label, "url": message.url}]})
    parts.append({"type": "context", "elements": [_to_markdown(_escape(message.footer))]})
    return {"text": _escape(message.subject(_FIELD_LIMIT)), "blocks": parts}


def _count_escaped(text: str) -> int:
    return count_units(_escape(text))


def _to_markdown(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _escape(text: str) -> str:
    """Return `text` without what Slack would read as a mention, a link or the end of a code block."""
    safe = redacted(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("```", "'''")
