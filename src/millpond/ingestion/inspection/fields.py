"""What kind of values the fields of sampled rows have, hence which columns to propose."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, count
from typing import Any, Final
from zoneinfo import ZoneInfo

from millpond.ingestion.schema import column_name
from millpond.ingestion.spec_rules import fold_name
from millpond.naming import LINEAGE_COLUMNS

Rows = Sequence[Mapping[str, Any]]

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?")
_EPOCHS: Final = {"ms": (946_684_800_000, 4_102_444_800_000), "s": (946_684_800, 4_102_444_800)}
"""From 2000 to 2100."""


@dataclass(frozen=True)
class Field:
    """A field of a source, and the column proposed for it.

    `unit` says how its values give a time, None where they give none; `unique` and `filled` whether no value
    of the sample comes twice, and none is missing; `present` whether each row has the field.
    """

    name: str
    column: str
    type: str
    unit: str | None = None
    unique: bool = False
    filled: bool = True
    present: bool = True
    format: str | None = None
    reflected: bool = False
    """Whether a load adds the column with this name and type, if the source does not declare it."""

    def content(self) -> Any:
        """Return what a source says of the column: its type alone if that is all."""
        more: dict[str, Any] = {"field": self.name} if self.name != self.column else {}
        more |= {"format": self.format} if self.format else {}
        more |= {} if self.present else {"optional": True}
        return {"type": self.type, **more} if more else self.type


def list_fields(rows: Rows) -> list[Field]:
    """Return the fields of sampled `rows`, those that can be columns, in the order in which they come."""
    names = dict.fromkeys(name for row in rows for name in row)
    return name_columns(
        _describe(name, [row[name] for row in rows if name in row], len(rows)) for name in names
    )


def name_columns(fields: Iterable[Field]) -> list[Field]:
    """Return `fields` with the names of their columns.

    A name that another column has is numbered; a field without a Latin letter or digit is named by its place.
    Of fields that differ only by case or blanks, which no spec may name both, the first is taken.
    """
    found: list[Field] = []
    taken = {fold_name(name) for name in LINEAGE_COLUMNS}
    seen = set(taken)
    for place, field in enumerate(fields, 1):
        if fold_name(field.name) in seen:
            continue
        seen.add(fold_name(field.name))
        base = column_name(field.name) or f"column_{place}"
        numbered = (f"{base}_{number}" for number in count(2))
        column = next(name for name in chain([base], numbered) if fold_name(name) not in taken)
        found.append(replace(field, column=column))
        taken.add(fold_name(column))
    return found


def unit_of(values: Sequence[Any], kind: str) -> str | None:
    """Return how values of the column type `kind` give a time: iso, ms, s or date; None if they do not."""
    if kind == "timestamp":
        return "iso"
    if kind == "date":
        return "date"
    if kind == "int" and values:
        for unit, (low, high) in _EPOCHS.items():
            if all(low <= value < high for value in values):
                return unit
    return None


def instant_of(value: Any, unit: str | None) -> int | None:
    """Return a time in microseconds since 1970, UTC where it has no offset; None where `value` is none."""
    if unit in {"ms", "s"}:
        factor = 1_000 if unit == "ms" else 1_000_000
        return int(value * factor) if isinstance(value, int | float) else None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if not isinstance(value, dt.datetime):
        try:
            value = dt.datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        except ValueError:
            return None
    found: dt.datetime = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return int(found.timestamp() * 1_000_000)


def newest_day(rows: Rows, time: Field | None, zone: ZoneInfo) -> dt.date | None:
    """Return the latest day before today that a row of the sample lies in; the latest at all if none does."""
    instants = [instant_of(row.get(time.name), time.unit) for row in rows] if time else []
    days = {
        dt.datetime.fromtimestamp(each / 1_000_000, dt.UTC if time and time.unit == "date" else zone).date()
        for each in instants
        if each is not None
    }
    now = dt.datetime.now(zone).date()
    return max((day for day in days if day < now), default=max(days, default=None))


def _describe(name: str, values: Sequence[Any], rows: int) -> Field:
    filled = [value for value in values if value is not None and value != ""]
    kind = type_of(filled)
    whole = len(filled) == rows
    texts = [str(value) for value in filled]
    return Field(
        name=name,
        column=name,
        type=kind,
        unit=unit_of(filled, kind),
        unique=whole and rows > 0 and len(set(texts)) == len(texts),
        filled=whole,
        present=len(values) == rows,
    )


def type_of(values: Sequence[Any]) -> str:
    """Return the column type that takes all `values`; string where there are none."""
    if values and all(isinstance(value, Decimal) and value.is_finite() for value in values):
        scale = max(-min(int(value.as_tuple().exponent), 0) for value in values)
        whole = max(value.adjusted() + 1 for value in values)
        return f"decimal({18 if scale <= 6 and whole + scale <= 18 else 38},{min(scale, 38)})"
    kinds = {_kind(value) for value in values}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {"int", "number"}:
        return "number"
    if kinds == {"date", "timestamp"}:
        return "timestamp"
    return "json" if "json" in kinds else "string"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int" if -(2**63) <= value < 2**63 else "string"
        case float() | Decimal():
            return "number"
        case dict() | list():
            return "json"
        case dt.datetime():
            return "timestamp"
        case dt.date():
            return "date"
    text = str(value)
    if _DATE.fullmatch(text) and _is_day(text):
        return "date"
    return "timestamp" if _MOMENT.fullmatch(text) and _is_day(text[:10]) else "string"


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
