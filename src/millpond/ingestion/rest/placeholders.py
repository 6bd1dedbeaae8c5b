"""Placeholders in specs: `{url}`, `{start_ms}` and the like, filled in when a request is made."""

from __future__ import annotations

import datetime as dt
import hashlib
import string
from collections.abc import Iterator, Mapping
from typing import Any, Final

CONNECTION: Final = ("url", "user", "token", "token_sha1")
BOUNDS: Final = ("start_ms", "end_ms", "start_s", "end_s", "start_iso", "end_iso")
SECRET: Final = frozenset({"token", "token_sha1"})

Values = Mapping[str, str | None]
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def check(text: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError if `text` holds anything in braces but one of the `allowed` placeholders."""
    if "{{" in text or "{%" in text:
        raise ValueError(
            "templates are not evaluated here; write placeholders in single braces, for example {start_ms}"
        )
    for name in names(text):
        if name not in allowed:
            known = ", ".join(f"{{{a}}}" for a in allowed)
            raise ValueError(f"unknown placeholder {{{name}}}; there are {known}")


def names(text: str) -> Iterator[str]:
    """Yield the placeholders of `text`; raises ValueError if its braces do not match."""
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is not None:
            yield name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")


def fill(value: Any, values: Values) -> Any:
    """Return `value`, a text or a mapping of texts, with every placeholder replaced.

    An entry of a mapping is left out where its placeholder has no value; a text alone then becomes None.
    """
    if isinstance(value, Mapping):
        entries = {key: fill(entry, values) for key, entry in value.items()}
        return {key: entry for key, entry in entries.items() if entry is not None}
    if not isinstance(value, str):
        return value
    found = {name: values.get(name) for name in names(value)}
    return None if None in found.values() else value.format_map(found)


def connection(url: str | None, user: str | None, token: str | None) -> dict[str, str | None]:
    """Return the values of the CONNECTION placeholders; None where nothing was set."""
    digest = hashlib.sha1(token.encode(), usedforsecurity=False).hexdigest() if token else None
    return {"url": url, "user": user, "token": token, "token_sha1": digest}


def bounds(start: int, end: int) -> dict[str, str | None]:
    """Return the values of the BOUNDS placeholders for the half-open time `[start, end)`, in microseconds.

    An end between two milliseconds (or seconds) is rounded up, a start down, so that no row is lost.
    """
    found: dict[str, str | None] = {}
    for name, micros, up in (("start", start, 1), ("end", end, -1)):
        for unit, size in (("ms", 1_000), ("s", 1_000_000)):
            found[f"{name}_{unit}"] = str(up * (up * micros // size))
        moment = _EPOCH + dt.timedelta(milliseconds=int(found[f"{name}_ms"] or 0))
        found[f"{name}_iso"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return found
