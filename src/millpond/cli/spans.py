"""Spans of time as people write them: 7d, 12h, 30m."""

from __future__ import annotations

import datetime as dt
import re

import typer

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def span(text: str) -> dt.timedelta:
    """Return the span; raises BadParameter if `text` is none."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([dhm])", text.strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is no span of time; write it like 7d, 12h or 30m")
    return dt.timedelta(**{_UNITS[match[2]]: float(match[1])})
