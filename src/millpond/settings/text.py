"""Settings that are text: surrounding white space is removed, control characters are refused."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationInfo, field_validator
from pydantic_core import PydanticUseDefault

_IN_HEADERS = frozenset(
    {"token", "jira_user", "jira_token", "trino_user", "trino_password", "s3_access_key", "queue_access_key"}
)
_LISTS = frozenset({"apprise_urls"})
"""Settings with several values, separated by spaces or line breaks."""


_ADDRESSES = ("url", "_uri", "_webhook", "_endpoint")
"""Endings of the names of settings with an address."""
_LONGEST_LABEL = 63


def check_address(text: str) -> None:
    """Raise ValueError if `text` is a URL with an invalid host or port."""
    if "://" not in text or "+" in text.partition("://")[0] or ":///" in text:
        return
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        host, port = "", None
    labels = host.removesuffix(".").split(".")
    if port == 0 or not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError("is not an address: its host or port cannot be; for example https://cgm.example.org")


class CleanText(BaseModel):
    """Part of every class of settings."""

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        if str(info.field_name).endswith(_ADDRESSES):
            check_address(value.strip())
        text = " ".join(value.split()) if info.field_name in _LISTS else value.strip()
        if not text:
            raise PydanticUseDefault
        for number, character in enumerate(text, 1):
            if unicodedata.category(character) == "Cc":
                raise ValueError(
                    f"character {number} is the control character U+{ord(character):04X}; "
                    "it may have come in with a line break when the value was pasted"
                )
            if info.field_name in _IN_HEADERS and ord(character) > 0xFF:
                raise ValueError(
                    f"character {number} (U+{ord(character):04X}) is not in Latin-1, "
                    "and an HTTP header can carry nothing else"
                )
        return text
