"""Placeholders in specs: `{url}`, `{start_ms}` and the like, filled in when a request is made."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

CONNECTION: Final = ("url", "user", "token", "token_sha1")
INSTANTS: Final = ("start_ms", "end_ms", "start_s", "end_s", "start_iso", "end_iso")
DATES: Final = ("start_date", "end_date", "last_date")
BOUNDS: Final = INSTANTS + DATES
FORMS: Final = ("start", "end", "last")
"""The bounds in a form of strftime: `{start:%Y%m%d}`; the last is the last instant that is asked for."""
RESOURCE: Final = re.compile(r"resources\.(\w+)\.([\w.-]+)")
"""A field of the row of another table, below which the rows asked for are."""
SECRET: Final = frozenset({"token", "token_sha1"})

Values = Mapping[str, Any]
_TIME_OF_DAY: Final = re.compile(r"%-?[HIMSfpXcTRsz]")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def check(text: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError if `text` holds anything in braces but one of the `allowed` placeholders."""
    if "{{" in text or "{%" in text:
        raise ValueError(
            "templates are not evaluated here; write placeholders in single braces, for example {start_ms}"
        )
    for name in names(text):
        if BOUNDS[0] in allowed and ((":%" in name and is_bound(name)) or RESOURCE.fullmatch(name)):
            continue
        if name not in allowed:
            known = ", ".join(f"{{{a}}}" for a in allowed)
            known += " and {start:%Y%m%d}" if BOUNDS[0] in allowed else ""
            raise ValueError(f"unknown placeholder {{{name}}}; there are {known}")


def names(text: str) -> Iterator[str]:
    """Yield the placeholders of `text`; raises ValueError if its braces do not match."""
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is not None:
            yield name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")


def is_bound(name: str) -> bool:
    """Return whether a placeholder is a bound of the time that is asked for."""
    return name in BOUNDS or name.partition(":")[0] in FORMS


def is_date(name: str) -> bool:
    """Return whether a placeholder is a bound that names a day, not an instant."""
    return name in DATES or (is_bound(name) and ":" in name and not _TIME_OF_DAY.search(name))


def texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of `value`, however deep in mappings and lists, each with the name it is under."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from texts(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts(each, name)


def fill(value: Any, values: Values) -> Any:
    """Return `value`, a text, or texts in mappings and lists, with every placeholder replaced.

    An entry is left out where its placeholder has no value; a text alone then becomes None.
    """
    if isinstance(value, Mapping):
        entries = {key: fill(entry, values) for key, entry in value.items()}
        return {key: entry for key, entry in entries.items() if entry is not None or value[key] is None}
    if isinstance(value, list | tuple):
        return [found for entry in value if (found := fill(entry, values)) is not None or entry is None]
    if not isinstance(value, str):
        return value
    parts = []
    for before, name, form, _ in string.Formatter().parse(value):
        parts.append(before)
        if name is not None:
            if (found := values.get(name)) is None:
                return None
            parts.append(format(found, form or ""))
    return "".join(parts)


def connection(url: str | None, user: str | None, token: str | None) -> dict[str, str | None]:
    """Return the values of the CONNECTION placeholders; None where nothing was set."""
    digest = hashlib.sha1(token.encode(), usedforsecurity=False).hexdigest() if token else None
    return {"url": url, "user": user, "token": token, "token_sha1": digest}


class _End:
    """An end that is excluded, in any form: one without the time of day names the day after the last."""

    def __init__(self, moment: dt.datetime, day: dt.date) -> None:
        self._moment, self._day = moment, dt.datetime.combine(day, dt.time(), moment.tzinfo)

    def __format__(self, form: str) -> str:
        return format(self._moment if _TIME_OF_DAY.search(form) else self._day, form)


def bounds(start: int, end: int, zone: dt.tzinfo = dt.UTC) -> dict[str, Any]:
    """Return the values of BOUNDS and FORMS for the half-open time `[start, end)`, in microseconds.

    An end between two milliseconds (or seconds, or days of `zone`) is rounded up, a start down, so that no
    row is lost.
    """
    found: dict[str, Any] = {}
    for name, micros, up in (("start", start, 1), ("end", end, -1)):
        for unit, size in (("ms", 1_000), ("s", 1_000_000)):
            found[f"{name}_{unit}"] = str(up * (up * micros // size))
        moment = _EPOCH + dt.timedelta(milliseconds=int(found[f"{name}_ms"] or 0))
        found[f"{name}_iso"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first, last, after = (
        (_EPOCH + dt.timedelta(microseconds=micros)).astimezone(zone) for micros in (start, end - 1, end)
    )
    days = first.date(), last.date() + dt.timedelta(days=1), last.date()
    return {
        **found,
        **dict(zip(DATES, map(str, days), strict=True)),
        "start": first,
        "end": _End(after, days[1]),
        "last": last,
    }


def _template(text: str) -> str:
    check(text, CONNECTION)
    return text


def _window_template(text: str) -> str:
    check(text, CONNECTION + BOUNDS)
    return text


def check_body(value: Any) -> Any:
    """Return `value` if the placeholders of its texts are known; raises ValueError."""
    for _, text in texts(value):
        _window_template(text)
    return value


Template = Annotated[str, AfterValidator(_template)]
WindowTemplate = Annotated[str, AfterValidator(_window_template)]
Templates = dict[str, WindowTemplate]
_Single = WindowTemplate | int | float | bool
Params = dict[str, _Single | Annotated[tuple[_Single, ...], Field(strict=False)]]
"""Parameters; a list is sent as one parameter with its name for each element."""
