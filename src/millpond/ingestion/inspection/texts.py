"""What the texts of a file without types stand for: numbers, truth values, times in other forms."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from millpond.ingestion.inspection.fields import Field, Rows, list_fields

_INT: Final = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?")
_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_AMOUNT: Final = re.compile(r"[+-]?\d{1,18}\.(\d{1,18})")
_LEAST_DECIMALS: Final = 2
_TRUTH: Final = {"true": True, "false": False}
_DATES: Final = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y")
_CLOCKS: Final = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S")


def uses_comma(rows: Sequence[Mapping[str, str | None]]) -> bool:
    """Return whether numbers of the sample have a comma before their decimals."""
    values = [value.strip() for row in rows for value in row.values() if value]
    return any(_COMMA.fullmatch(value) for value in values) and not any(
        "." in value and _NUMBER.fullmatch(value) for value in values
    )


def list_text_fields(rows: Sequence[Mapping[str, str | None]]) -> tuple[list[Field], Rows]:
    """Return the fields of rows whose values are texts, and the rows with the values that they stand for."""
    comma = uses_comma(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    read = {name: _read([row.get(name) for row in rows], comma) for name in names}
    typed = [
        {name: read[name][0][number] for name in names if name in row} for number, row in enumerate(rows)
    ]
    fields = [replace(field, format=read[field.name][1]) for field in list_fields(typed)]
    return fields, typed


def _read(values: Sequence[str | None], comma: bool) -> tuple[list[Any], str | None]:
    """Return what the values of a field stand for, and the form of its times where that is not ISO 8601."""
    texts = [value.strip() if value else None for value in values]
    filled = [text for text in texts if text]
    if filled and all(_INT.fullmatch(text) for text in filled) and not _is_day(filled):
        return [int(text) if text else None for text in texts], None
    if amounts := _read_amounts(texts, comma):
        return amounts, None
    number = _COMMA if comma else _NUMBER
    if filled and all((number.fullmatch(t) or _INT.fullmatch(t)) and not _is_code(t) for t in filled):
        return [
            float(text.replace(".", "").replace(",", ".") if comma else text) if text else None
            for text in texts
        ], None
    if filled and all(text.lower() in _TRUTH for text in filled):
        return [_TRUTH[text.lower()] if text else None for text in texts], None
    for form in (date + clock for clock in _CLOCKS for date in _DATES):
        if filled and all(_parse(text, form) for text in filled):
            moments = [_parse(text, form) if text else None for text in texts]
            return ([each and each.date() for each in moments] if "H" not in form else moments), form
    return texts, None


def _read_amounts(texts: Sequence[str | None], comma: bool) -> list[Decimal | None]:
    """Return exact numbers where all have as many decimals, two or more, as money has; else none."""
    plain = [text.replace(".", "").replace(",", ".") if text and comma else text for text in texts]
    filled = [text for text in plain if text]
    if comma and not all(_COMMA.fullmatch(text) for text in texts if text):
        return []
    scales = {len(found[1]) if (found := _AMOUNT.fullmatch(text)) else 0 for text in filled}
    if len(scales) != 1 or min(scales) < _LEAST_DECIMALS or any(map(_is_code, filled)):
        return []
    return [Decimal(text) if text else None for text in plain]


def _is_code(text: str) -> bool:
    return len(text) > 1 and text[0] == "0" and text[1].isdigit()


def _is_day(texts: Sequence[str]) -> bool:
    return all(len(text) == 8 and text[:2] in {"19", "20"} and _parse(text, "%Y%m%d") for text in texts)


def _parse(text: str, form: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, form)  # noqa: DTZ007 - as the file has it
    except ValueError:
        return None
