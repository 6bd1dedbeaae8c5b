"""Makes texts fit the limits of channels: the middle of the cause is cut, what to do is always kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CUT: Final = " … "
Size = Callable[[str], int]


def units(text: str) -> int:
    """Return the length of `text` as most services count it: in UTF-16 units, an emoji as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, size: Size = units) -> str:
    """Return `text`, its middle left out where its `size` is above `limit`."""
    keep, shown = min(len(text), limit), text
    while keep > 0 and size(shown) > limit:
        shown = _ends(text, keep)
        keep = min(keep - 1, keep * limit // max(size(shown), 1))
    return shown if size(shown) <= limit else ""


def compose(cause: str, unharmed: str, next_step: str, limit: int, size: Size = units) -> str:
    """Return cause, what is unharmed and the next step as one text of at most `limit`.

    The last two get up to a quarter of it each; the cause gets the rest.
    """
    parts = (("Unharmed", unharmed), ("Next", next_step))
    kept = "".join(f"\n{name}: {cut(one_line(text), limit // 4 - 12, size)}" for name, text in parts if text)
    return (cut(cause.strip(), limit - size(kept), size) + kept).strip()


def one_line(text: str) -> str:
    """Return `text` without line breaks."""
    return " ".join(text.split())


def headline(title: str, cause: str, limit: int, size: Size = units) -> str:
    """Return title and the first line of the cause as one line of at most `limit`."""
    first = next((line for line in cause.splitlines() if line.strip()), "")
    title = cut(one_line(title), limit if not first else max(limit * 2 // 3, limit - size(first) - 2), size)
    room = limit - size(title) - 2
    return f"{title}: {cut(one_line(first), room, size)}" if first and room > len(CUT) else title


def _ends(text: str, keep: int) -> str:
    head = max(keep - len(CUT), 0) * 2 // 3
    tail = max(keep - len(CUT), 0) - head
    if not tail:
        return text[:keep]
    return text[:head].rstrip() + CUT + text[len(text) - tail :].lstrip()
