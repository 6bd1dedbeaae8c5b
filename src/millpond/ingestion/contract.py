"""A table's row contract as SQL: each column's value, and each rule that a row may break, as an expression.

Texts are taken from the JSON rows as they are; typed values have their column's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from millpond.ingestion.column_rules import HOLDS_NUL, NESTED, NUL, WRONG, Value, first, has_nul
from millpond.ingestion.columns import Column
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.sql import BLANKS, Extraction, micros
from millpond.naming import literal, quoted

SEPARATOR = "; "
"""Between the reasons of one row."""


class Contract:
    """The row contract of `table`, with `added` columns (name → field) that the spec does not name."""

    def __init__(self, table: SourceTable, added: Mapping[str, str]) -> None:
        self.table, self.added = table, added
        columns = [(name, column, column.path(name)) for name, column in table.columns.items()]
        columns += [(name, Column(), (field,)) for name, field in added.items()]
        raw = {keys for _, column, keys in columns if column.type == "json"}
        self._extraction = Extraction((keys for *_, keys in columns), raw)
        self.values = [
            Value(
                name,
                column,
                keys,
                self._extraction.value(keys, raw=keys in raw),
                "null" if name in added else table.on_bad(name),
                added=name in added,
                rounding=None if name in added else table.rounding(name),
            )
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
            f"strlen({PAYLOAD}) <= {size} and json_valid({PAYLOAD})"
            f" and starts_with(ltrim({PAYLOAD}, {BLANKS}), '{{')"
        )

    def row(self) -> str:
        """Return the expression for the structure that all values are taken from."""
        return f"from_json({PAYLOAD}, {literal(self._extraction.structure())})"

    def split(self) -> str:
        """Return the SELECT list of what is wrong with a row as such; `__json` says if it is readable."""
        nested = ", ".join(
            f"case when {value.nested()} then {literal(f',{value.name},')} end"
            for value in self.values
            if value.column.type == "string" and not value.added
        )
        holds_nested = f"regexp_matches({PAYLOAD}, ':\\s*[\\[{{]')"  # which most rows do not
        found = f"case when __json and {holds_nested} then concat({nested}) else '' end" if nested else "''"
        return (
            f"case when not __json then {self._unreadable()} end as __broken, {found} as {NESTED},"
            f" case when __json and {has_nul(PAYLOAD)} then true else false end as {NUL}"
        )

    def typed(self, rows: str) -> str:
        """Return the relation `rows` with the clean values, under their columns' names."""
        clean = ", ".join(f"{value.clean()} as {quoted(value.name)}" for value in self.values)
        return f"(select *, {clean} from {self.strict(rows)})"  # noqa: S608 - names quoted, literals

    def strict(self, rows: str) -> str:
        """Return the relation `rows` with the values that the expressions of columns are over."""
        values = ", ".join(f"{value.as_strict()} as {value.strict}" for value in self.values)
        return f"(select *, {values} from {rows})"  # noqa: S608 - names quoted, literals

    def loaded(self) -> str:
        """Return the SELECT list of good rows' values over strict ones; `__nulled`: one became null."""
        return ", ".join(f"{self._loaded(value)} as {quoted(value.name)}" for value in self.values)

    def time(self) -> str:
        """Return the expression for the row's time in microseconds; NULL where it has none."""
        event = self.table.event_time
        return micros(self.of(event.column).text, event.unit)

    def key(self) -> str:
        """Return the expression for the row's key as one text; NULL where a part of it is missing.

        Values are compared as what they are: 1, 1.0 and "01" are one key of type int, and three texts.
        """
        parts = [self.of(name).canonical() for name in self.table.key]
        if len(parts) == 1:
            return parts[0]
        marked = (
            f"replace(replace({part}, chr(30), chr(30) || '0'), chr(31), chr(30) || '1')" for part in parts
        )
        return f"({' || chr(31) || '.join(marked)})"

    def later_first(self) -> str:
        """Return the ORDER BY list that puts the later of two rows with one key first."""
        order = ["__micros desc nulls last", "_seq desc"]
        if self.table.version:
            order = [*(f"{value} desc nulls last" for value in self.of(self.table.version).ranks()), *order]
        return ", ".join(order)

    def reason(self) -> str:
        """Return the expression for all rules that a row breaks, as one text; NULL where it breaks none."""
        return f"coalesce(__broken, {_join(case for _, case, _ in self._rules())})"

    def nulled(self) -> str:
        """Return the expression for why values of a row became null, as one text; NULL where none did."""
        return _join(value.nulled() for value in self.values if value.may_become_null)

    def due(self, value: Value) -> str | None:
        """Return the condition over clean values under which a row has the field; None where it need not."""
        column = value.column
        if value.added or column.optional is True:
            return None
        if column.required_when:
            return f"coalesce(({column.required_when}), true)"
        return f"not coalesce(({column.optional}), false)" if column.optional else "true"

    @property
    def fatal(self) -> frozenset[str]:
        """The reasons that fail a day, whatever the share of its bad rows."""
        return frozenset(text for value, _, text in self._rules() if value.on_bad == "fail")

    @staticmethod
    def _loaded(value: Value) -> str:
        if not value.may_become_null:
            return value.loose()
        return f"case when __nulled is null then {value.loose()} else {value.clean()} end"

    def _unreadable(self) -> str:
        size = self.table.quarantine.max_row_bytes
        return first(
            [
                (f"strlen({PAYLOAD}) > {size}", f"row is larger than {size} bytes"),
                (f"not json_valid({PAYLOAD})", "row is not valid JSON"),
            ],
            literal("row is no JSON object"),
        )

    def _rules(self) -> Iterator[tuple[Value, str, str]]:
        """Yield each rule's column, the expression for its text where a row breaks it, and the text."""
        for value in self.values:
            for condition, text in self._conditions(value):
                yield value, f"case when {condition} then {literal(text)} end", text

    def _conditions(self, value: Value) -> Iterator[tuple[str, str]]:
        event, column, text = self.table.event_time.column, value.column, value.text
        if column.required or value.name in {*self.table.key, event}:
            yield value.missing(), f"{value.name} is missing"
        elif column.required_when:
            yield f"{value.missing()} and ({column.required_when})", f"{value.name} is missing"
        if column.type in {"string", "json"} and not value.lenient:
            if column.type == "string":
                yield f"contains({NESTED}, {literal(f',{value.name},')})", f"{value.name} {WRONG['string']}"
            yield f"{NUL} and {value.holds_nul()}", f"{value.name} {HOLDS_NUL}"
        yield from value.broken()
        if value.name == event:
            mistyped = f"coalesce({value.mistyped()}, false)"
            yield f"__micros is null and {text} <> '' and not {mistyped}", f"{value.name} is no time"


def _join(texts: Iterator[str]) -> str:
    found = ", ".join(texts)
    return f"nullif(concat_ws({literal(SEPARATOR)}, {found}), '')" if found else "null::varchar"
