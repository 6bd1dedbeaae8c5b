"""Keeps secrets out of texts: of every message, excerpt and log line that may hold part of a request."""

from __future__ import annotations

import logging
import re
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "[redacted]"

_known: set[str] = set()
_NAMES = r"(?:[\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key|signature)|auth|pwd|sig|key)"
_PATTERNS: Final = (
    (
        re.compile(rf"(?i)([?&;]|%3f|%26)({_NAMES})(=|%3d)(?!\[redacted\])[^&;\s\"'<>)\]}}]+"),
        rf"\1\2\3{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|token)(\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{MASK}"),
    (
        re.compile(
            rf"(?i)([\"']?)\b({_NAMES}|authorization|cookie|set-cookie)\1(\s*[:=]\s*)([\"'])(?!\[redacted\])[^\"']+\4"
        ),
        rf"\1\2\1\3\4{MASK}\4",
    ),
    (
        re.compile(
            r"(?i)^([\w-]*(?:authorization|cookie|secret|token|api-?key)\s*:\s*)(?!\[redacted\])\S.*$", re.M
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@\"']*):[^@/\s\"']+@"), rf"\1:{MASK}@"),
)


def register(secret: str | None) -> None:
    """Have `secret` masked in every text from now on, also where it is percent-encoded."""
    if secret and len(secret) >= 4:
        _known.update({secret, quote(secret, safe=""), quote(secret), quote_plus(secret)})


def redacted(text: str) -> str:
    """Return `text` with registered secrets and whatever looks like a credential masked."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class Redacting(logging.Filter):
    """Masks the lines of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the line of `record`; always true, no line is dropped."""
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


def excerpt(body: bytes | str, limit: int = 200) -> str:
    """Return the beginning of an answer's body on one line, masked, for an error message."""
    text = body[: 4 * limit].decode("utf-8", "replace") if isinstance(body, bytes) else body[: 4 * limit]
    text = " ".join("".join(c if c.isprintable() else " " for c in redacted(text)).split())
    return text if len(text) <= limit else f"{text[:limit]}…"
