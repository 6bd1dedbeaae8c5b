"""A table's row contract as SQL: each column's value, and each rule that a row may break, as an expression.

Texts are taken from the JSON rows as they are; typed values have their column's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from millpond.ingestion.columns import SQL_TYPES, Column
from millpond.ingestion.extraction import Extraction
from millpond.ingestion.pages import PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.sql import json_path, micros
from millpond.naming import literal, quoted

_WRONG = {
    "int": "is no whole number",
    "number": "is no number",
    "bool": "is neither true nor false",
    "timestamp": "is no time",
    "date": "is no date",
}


@dataclass(frozen=True)
class Value:
    """A column, the keys that lead to its value in a row, and the expression for that value as text."""

    name: str
    column: Column
    keys: tuple[str, ...]
    text: str


class Contract:
    """The row contract of `table`, with `added` columns (name → field) that the spec does not name."""

    def __init__(self, table: SourceTable, added: Mapping[str, str]) -> None:
        self.table, self.added = table, added
        columns = [(name, column, column.path(name)) for name, column in table.columns.items()]
        columns += [(name, Column(), (field,)) for name, field in added.items()]
        raw = {keys for _, column, keys in columns if column.type == "json"}
        self._extraction = Extraction((keys for *_, keys in columns), raw)
        self.values = [
            Value(name, column, keys, self._extraction.value(keys, raw=keys in raw))
            for name, column, keys in columns
        ]
        """Every column of the raw table except the lineage columns, in order."""

    def of(self, name: str) -> Value:
        """Return the value of the column called `name`."""
        return next(value for value in self.values if value.name == name)

    def readable(self) -> str:
        """Return the condition under which a row is looked into: a JSON object of bearable size."""
        size = self.table.quarantine.max_row_bytes
        return (
            f"strlen({PAYLOAD}) <= {size} and json_valid({PAYLOAD}) and starts_with(ltrim({PAYLOAD}), '{{')"
        )

    def row(self) -> str:
        """Return the expression for the structure that all values are taken from."""
        return f"from_json({PAYLOAD}, {literal(self._extraction.structure())})"

    def broken(self) -> str:
        """Return the expression for what is wrong with a row as such; `__json` says if it is readable."""
        size = self.table.quarantine.max_row_bytes
        unreadable = _first(
            [
                (f"strlen({PAYLOAD}) > {size}", f"row is larger than {size} bytes"),
                (f"not json_valid({PAYLOAD})", "row is not valid JSON"),
            ],
            literal("row is no JSON object"),
        )
        nested = _first(
            (_nested(value), f"{value.name} is no text but an object or a list")
            for value in self.values
            if value.column.type == "string" and value.name not in self.added
        )
        holds_nested = f"regexp_matches({PAYLOAD}, ':\\s*[\\[{{]')"  # which most rows do not
        nul = literal("row holds a NUL character")
        return (
            f"case when not __json then {unreadable} when {_has_nul(PAYLOAD)} then {nul}"
            f" when {holds_nested} then {nested} end"
        )

    def typed(self) -> str:
        """Return the SELECT list of the typed values, under their columns' names."""
        return ", ".join(f"{_typed(value)} as {quoted(value.name)}" for value in self.values)

    def time(self) -> str:
        """Return the expression for the row's time in microseconds; NULL where it has none."""
        event = self.table.event_time
        return micros(self.of(event.column).text, event.unit)

    def key(self) -> str:
        """Return the expression for the row's key as one text; NULL where a part of it is missing."""
        parts = [f"nullif({self.of(name).text}, '')" for name in self.table.key]
        return parts[0] if len(parts) == 1 else f"({' || chr(31) || '.join(parts)})"

    def later_first(self) -> str:
        """Return the ORDER BY list that puts the later of two rows with one key first."""
        order = ["__micros desc nulls last", "_seq desc"]
        if self.table.version:
            text = self.of(self.table.version).text
            order = [f"try_cast({text} as timestamptz) desc nulls last", f"{text} desc nulls last", *order]
        return ", ".join(order)

    def reason(self) -> str:
        """Return the expression for all rules that a row breaks, as one text; NULL where it breaks none."""
        rules = [f"case when {condition} then {literal(text)} end" for condition, text in self._rules()]
        return f"coalesce(__broken, nullif(concat_ws('; ', {', '.join(rules)}), ''))"

    def _rules(self) -> Iterator[tuple[str, str]]:
        event = self.table.event_time.column
        for value in self.values:
            name, column, text = quoted(value.name), value.column, value.text
            if column.required or value.name in {*self.table.key, event}:
                yield f"coalesce({text}, '') = ''", f"{value.name} is missing"
            elif column.required_when:
                yield f"coalesce({text}, '') = '' and ({column.required_when})", f"{value.name} is missing"
            if column.type in _WRONG:
                yield _mistyped(value), f"{value.name} {_WRONG[column.type]}"
            if value.name == event:
                mistyped = f"coalesce({_mistyped(value)}, false)"
                yield f"__micros is null and {text} <> '' and not {mistyped}", f"{value.name} is no time"
            if column.min is not None:
                yield f"{name} < {column.min!r}", f"{value.name} is below {column.min}"
            if column.max is not None:
                yield f"{name} > {column.max!r}", f"{value.name} is above {column.max}"
            if column.allowed:
                known = ", ".join(literal(a) for a in column.allowed)
                yield f"{text} not in ({known})", f"{value.name} is none of the allowed values"


def _first(cases: Iterable[tuple[str, str]], otherwise: str = "null") -> str:
    """Return the expression for the text of the first condition that holds."""
    whens = "".join(f" when {condition} then {literal(text)}" for condition, text in cases)
    return f"case{whens} else {otherwise} end" if whens else otherwise


def _typed(value: Value) -> str:
    kind, text = value.column.type, value.text
    if kind == "bool":
        return f"case {text} when 'true' then true when 'false' then false end"
    if kind == "timestamp":
        return f"make_timestamptz({micros(text, 'iso')})"
    if kind in {"string", "json"}:
        return text
    return f"try_cast({text} as {SQL_TYPES[kind]})"


def _mistyped(value: Value) -> str:
    kind, text, name = value.column.type, value.text, quoted(value.name)
    wrong = f"{text} <> '' and {name} is null" if kind != "string" else "false"
    if kind == "int":
        return f"({wrong} or try_cast({text} as double) is distinct from {name}::double)"
    if kind == "number":
        return f"({wrong} or not isfinite({name}))"
    if kind == "date":
        return f"({wrong} or not regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}'))"
    return f"({wrong})"


def _nested(value: Value) -> str:
    kind = f"json_type({PAYLOAD}, {json_path(value.keys)})"
    return f"left({value.text}, 1) in ('{{', '[') and {kind} in ('OBJECT', 'ARRAY')"


def _has_nul(text: str) -> str:
    r"""Return the condition that JSON `text` holds \u0000, and not as the text of an escaped backslash."""
    return rf"contains({text}, '\u0000') and contains(replace({text}, '\\', ''), '\u0000')"
