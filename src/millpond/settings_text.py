"""Settings that are text: white space around them is cut, control characters are refused."""

from __future__ import annotations

import unicodedata
from typing import Any

from pydantic import BaseModel, ValidationInfo, field_validator
from pydantic_core import PydanticUseDefault

_IN_HEADERS = frozenset(
    {"token", "jira_user", "jira_token", "trino_user", "trino_password", "s3_access_key", "queue_access_key"}
)
_LISTS = frozenset({"apprise_urls"})
"""Settings with several values, which lines may part as well as spaces."""


class CleanText(BaseModel):
    """Part of every class of settings."""

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
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
