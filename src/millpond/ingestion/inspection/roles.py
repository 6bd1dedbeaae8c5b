"""Which columns identify a row, and which says when it happened: by names and values of a sample."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from millpond.errors import ConfigError
from millpond.ingestion.inspection.fields import Field, Rows

_TIMES: Final = (
    r"(created|ordered|occurred|happened|event|placed|recorded|measured|taken|sold|issued|posted|opened)"
    r"(_?(at|on|date|time|ts|timestamp))?",
    r"(timestamp|time|datetime|date|ts|when|instant|day)",
    r".*_(at|on|time|date|ts|timestamp)",
    r".*(created|time|date).*",
)
"""Names of times, the most likely first."""
_LATER: Final = re.compile(r".*(update|modif|change|delet|expir|due|end|finish|birth|valid|last_).*")
"""Names of times that move, or are not when a row happened."""
_KEYS: Final = (r"_?id", r"(uuid|guid|key|pk)", r".*_(id|uuid|guid|key)", r".*(id|number|no|nr|code|key|ref)")
_MOST_PARTS: Final = 3


def choose_time(fields: Sequence[Field], wanted: str | None = None) -> Field | None:
    """Return the field that says when a row happened; None if there is none. Raises ConfigError."""
    if wanted:
        field = _named(fields, wanted, "--time")
        if field.unit is None:
            raise ConfigError(
                f"the values of {wanted} are no times",
                next_step="choose another column, or write the source by hand and give its `format`",
            )
        return field
    times = [field for field in fields if field.unit and field.filled]
    likely = [field for field in times if field.type != "int" or _place(field.column, _TIMES) < len(_TIMES)]
    return min(likely, key=_rank_time, default=None)


def choose_key(
    fields: Sequence[Field], rows: Rows, time: Field | None, wanted: Sequence[str] = ()
) -> list[Field]:
    """Return the fewest fields that identify a row of the sample.

    Raises ConfigError if none do, which `--key` overrides.
    """
    if wanted:
        return [_named(fields, name, "--key") for name in wanted]
    usable = [f for f in fields if f.filled and f.type in {"string", "int"} and f is not time]
    single = [f for f in usable if f.unique and (_is_key(f) or f.type == "string" or f is fields[0])]
    if single:
        return [min(single, key=lambda field: (_place(field.column, _KEYS), fields.index(field)))]
    named = sorted(usable, key=lambda field: _place(field.column, _KEYS))
    candidates = [*named, *([time] if time else [])]
    for parts in range(2, _MOST_PARTS + 1):
        for chosen in combinations(candidates, parts):
            if _identifies(rows, chosen):
                return list(chosen)
    if time and time.unique:
        return [time]
    raise ConfigError(
        "no columns were found that identify a row",
        unharmed="everything; nothing was written",
        next_step=f"name them: --key {fields[0].column if fields else 'id'}",
    )


def _is_key(field: Field) -> bool:
    return _place(field.column, _KEYS) < len(_KEYS)


def _identifies(rows: Rows, fields: Sequence[Field]) -> bool:
    seen: set[tuple[Any, ...]] = {tuple(str(row.get(f.name)) for f in fields) for row in rows}
    return len(seen) == len(rows) > 0


def _rank_time(field: Field) -> tuple[bool, int, bool]:
    return bool(_LATER.fullmatch(field.column)), _place(field.column, _TIMES), field.type == "date"


def _place(name: str, patterns: Sequence[str]) -> int:
    found = (place for place, pattern in enumerate(patterns) if re.fullmatch(pattern, name.lower()))
    return next(found, len(patterns))


def _named(fields: Sequence[Field], name: str, option: str) -> Field:
    known: Mapping[str, Field] = {each: field for field in fields for each in (field.name, field.column)}
    if name not in known:
        raise ConfigError(
            f"{option} {name}: there is no such column",
            unharmed="everything; nothing was written",
            next_step=f"choose among {', '.join(field.column for field in fields[:30])}",
        )
    return known[name]
