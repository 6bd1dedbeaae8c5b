"""How rows are told apart by their key, and which of two with one key is the later one, as SQL."""

from __future__ import annotations

from collections.abc import Sequence

from millpond.ingestion.column_rules import Value
from millpond.ingestion.json_sql import micros


def join_key(parts: Sequence[Value]) -> str:
    """Return the expression for a row's key as one text; NULL where a part of it is missing.

    Values are compared as what they are: 1, 1.0 and "01" are one key of type int, and three texts.
    """
    texts = [_canonical(value) for value in parts]
    if len(texts) == 1:
        return texts[0]
    marked = (f"replace(replace({text}, chr(30), chr(30) || '0'), chr(31), chr(30) || '1')" for text in texts)
    return f"({' || chr(31) || '.join(marked)})"


def order_later_first(version: Value | None) -> str:
    """Return the ORDER BY list that puts the later of two rows with one key first."""
    ranks = _rank(version) if version else []
    return ", ".join(
        [*(f"{rank} desc nulls last" for rank in ranks), "__micros desc nulls last", "_seq desc"]
    )


def _canonical(value: Value) -> str:
    """Return the expression for a value as one text, the same for all ways to write it."""
    column, text = value.column, f"nullif({value.text}, '')"
    if column.type in {"string", "json"}:
        return text
    found = f"({value.as_strict()})::varchar"
    if column.type == "number":
        found = f"({value.as_strict()} + 0)::varchar"  # -0.0 is 0.0
    elif column.type == "timestamp" and not value.native and not column.format:
        # with what is finer than a microsecond
        finer = f"rtrim(regexp_extract({value.text}, '[.][0-9]{{6}}([0-9]+)', 1), '0')"
        found = f"({micros(value.text, 'iso')})::varchar || {finer}"
    return f"coalesce({found}, {text})"


def _rank(value: Value) -> list[str]:
    """Return the expressions by which a later version is larger, the first that differs decides.

    Numbers, times and dates are compared as such; texts as times where they are, else as texts.
    """
    if value.column.type in {"string", "json"}:
        return [f"try_cast({value.text} as timestamptz)", value.text]
    is_iso = value.column.type == "timestamp" and not value.native and not value.column.format
    return [micros(value.text, "iso") if is_iso else value.as_strict()]
