"""Text for Streamlit, which reads most of what it shows as Markdown."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from millpond.errors import MillpondError
from millpond.redaction import redacted

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()<>#+.!|~$:&-])")
_SPACE: Final = re.compile(r"\s+")
_UNKNOWN: Final = "Everything else is unharmed: a page only reads."


def escape(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: no links, images, HTML, icons or formulas."""
    return _MARKUP.sub(r"\\\1", _SPACE.sub(" ", text))


def escape_prose(text: str) -> str:
    """Return `text` escaped, except that what stands between backticks is shown as code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"`{part}`" if n % 2 and part else escape(part) for n, part in enumerate(parts))


def format_age(age: dt.timedelta) -> str:
    """Return a span of time in its largest unit: `3 days`, `5 h`, `12 min`, `40 s`."""
    seconds = max(age.total_seconds(), 0)
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def format_seconds(seconds: float) -> str:
    """Return a duration: `0.42 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def format_bytes(size: float) -> str:
    """Return a number of bytes in its largest unit: `812 B`, `1.1 MB`, `24 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def format_value(value: object, unit: str = "") -> str:
    """Return a value with its unit, a dash if there is none."""
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{text} {unit}".strip()


def describe_error(error: BaseException, page: str) -> str:
    """Return as Markdown what happened to `page`, what is unharmed and what to do next."""
    if isinstance(error, MillpondError):
        what, unharmed, next_step = error.what, error.unharmed, error.next_step
    else:
        first = (str(error).strip().splitlines() or [""])[0]
        what, unharmed, next_step = f"{type(error).__name__}: {first}", "", ""
    said = [f"{page} cannot be shown: {what}"]
    said.append(f"Unharmed: {unharmed}" if unharmed else _UNKNOWN)
    said.append(
        f"Next: {next_step}"
        if next_step
        else "Next: `millpond status` shows whether every part is up; the dashboard's log has the details."
    )
    return "\n\n".join(escape_prose(redacted(each)) for each in said)
