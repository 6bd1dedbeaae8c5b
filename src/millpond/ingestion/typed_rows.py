"""Typed rows in a row contract: where a column's value is among the staged columns, and as which type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from millpond.ingestion.columns import decimal_digits, is_numeric, sql_type
from millpond.naming import literal, quoted

_SMALL_INTEGERS: Final = {
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
}

STAGED_LINE, STAGED_BROKEN = "_line", "_broken"
"""Staged columns of rows from files: a row's text as it is there, and why it cannot be taken apart."""


def staged_name(place: int) -> str:
    """Return the name under which the field number `place` of a typed row is staged."""
    return f"__c{place}"


def cast_name(staged: str, kind: str) -> str:
    """Return the name of the column with the texts of another one as values of the column type `kind`."""
    return f"{staged}_{kind}"


@dataclass(frozen=True)
class Casts:
    """Staged columns that were cast from texts, and those whose numbers are all `finite`."""

    columns: set[str] = field(default_factory=set)
    finite: set[str] = field(default_factory=set)


class TypedRows:
    """The staged columns of rows with `schema`, as SQL; unless they `may_hold_nul`, no text has a NUL."""

    def __init__(self, schema: pa.Schema, may_hold_nul: bool = True, casts: Casts | None = None) -> None:
        self.schema, self._may_hold_nul = schema, may_hold_nul
        self._casts = casts or Casts()
        self._places = {name: place for place, name in enumerate(schema.names)}

    def find(self, keys: Sequence[str]) -> tuple[str, pa.DataType] | None:
        """Return the expression for the field that `keys` lead to, and its type; None if there is none.

        A field whose name has dots comes before the fields inside of another.
        """
        for depth in range(len(keys), 0, -1):
            place = self._places.get(".".join(keys[:depth]))
            if place is None:
                continue
            found, kind = staged_name(place), self.schema.field(place).type
            for key in keys[depth:]:
                if not pa.types.is_struct(kind) or kind.get_field_index(key) < 0:
                    return None
                found, kind = f"{found}.{quoted(key)}", kind.field(key).type
            return found, kind
        return None

    def text(self, keys: Sequence[str]) -> str:
        """Return the expression for a value as text."""
        found = self.find(keys)
        if found is None or pa.types.is_null(found[1]):
            return "null::varchar"
        expression, kind = found
        if is_text(kind):
            return expression
        if is_binary(kind):
            return f"to_base64({expression})"
        if pa.types.is_nested(kind):
            return f"to_json({expression})::varchar"
        if pa.types.is_timestamp(kind) and kind.tz:
            return f"strftime({expression}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        return f"{expression}::varchar"

    def native(self, keys: Sequence[str], kind: str, *, rounded: bool = True) -> str | None:
        """Return the expression for a value as the column type `kind`, where its own type is one of these.

        It is null for a value with more decimals than `kind` has, unless that is `rounded`.
        """
        found = self.find(keys)
        if found is None:
            return None
        expression, own = found
        if (cast := self.find_cast(keys, kind)) is not None:
            return cast
        if kind == "bool" and pa.types.is_boolean(own):
            return expression
        if (kind == "int" and own in _SMALL_INTEGERS) or (is_numeric(kind) and own in _SMALL_INTEGERS):
            return f"try_cast({expression} as {sql_type(kind)})"
        if is_numeric(kind) and kind != "int" and (pa.types.is_floating(own) or pa.types.is_decimal(own)):
            value, digits = f"try_cast({expression} as {sql_type(kind)})", decimal_digits(kind)
            fits = not digits or (pa.types.is_decimal(own) and own.scale <= digits[1])
            if rounded or fits:
                return value
            back = f"{value}::double" if pa.types.is_floating(own) else value
            return f"case when {back} = {expression} then {value} end"
        if kind in {"timestamp", "date"} and (pa.types.is_timestamp(own) or pa.types.is_date(own)):
            return f"{expression}::{sql_type(kind)}"
        return None

    def find_cast(self, keys: Sequence[str], kind: str) -> str | None:
        """Return the column that has the texts that `keys` lead to as values of `kind`, if they were cast."""
        found = self.find(keys)
        name = cast_name(found[0], kind) if found else ""
        return name if name in self._casts.columns else None

    def is_exact(self, keys: Sequence[str], kind: str) -> bool:
        """Return whether each value is one of the column type `kind`."""
        found = self.find(keys)
        if found is None:
            return False
        name, own = found
        if kind in {"string", "json"}:
            return self.holds_nul() == "false" and (kind == "json" or not pa.types.is_nested(own))
        if kind in {"timestamp", "date"}:
            return self.native(keys, kind) is not None
        is_whole = kind in {"int", "number"} and own in _SMALL_INTEGERS
        is_known = (kind == "number" and name in self._casts.finite) or self.find_cast(keys, kind) is not None
        return is_whole or is_known or (kind == "bool" and pa.types.is_boolean(own))

    def is_naive(self, keys: Sequence[str]) -> bool:
        """Return whether a value is a time without a zone, or a day."""
        found = self.find(keys)
        return found is not None and (
            (pa.types.is_timestamp(found[1]) and not found[1].tz) or pa.types.is_date(found[1])
        )

    def is_nested(self, keys: Sequence[str]) -> bool:
        """Return whether a value is a list or an object."""
        found = self.find(keys)
        return found is not None and pa.types.is_nested(found[1])

    def holds_nul(self) -> str:
        """Return the condition that a text of a row holds a NUL character."""
        texts = [
            f"contains({staged_name(place)}, chr(0))"
            for place, field in enumerate(self.schema)
            if is_text(field.type) and self._may_hold_nul
        ]
        return f"coalesce({' or '.join(texts)}, false)" if texts else "false"

    def _exact(self, place: int) -> str:
        """Return the expression for a value in JSON that keeps all of it."""
        kind, name = self.schema.field(place).type, staged_name(place)
        if is_binary(kind):
            return f"to_base64({name})"
        return f"{name}::varchar" if pa.types.is_decimal(kind) else name

    def payload(self) -> str:
        """Return the expression for a row as JSON text."""
        there = [
            (name, place)
            for name, place in self._places.items()
            if not pa.types.is_null(self.schema.field(place).type)
        ]
        parts = ", ".join(f"{literal(name)}: {self._exact(at)}" for name, at in there)
        return f"to_json({{{parts}}})::varchar" if parts else "'{}'"


def is_binary(kind: pa.DataType) -> bool:
    """Return whether values of `kind` are bytes, whose text is their base64."""
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of `kind` are texts."""
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


def column_type(kind: pa.DataType) -> str:
    """Return the column type for values of an Arrow type that the spec does not name."""
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return "int"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_date(kind):
        return "date"
    return "json" if pa.types.is_nested(kind) else "string"
