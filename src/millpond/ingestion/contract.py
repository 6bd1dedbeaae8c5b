"""A table's row contract as SQL: each column's value, and each rule that a row may break, as an expression.

Texts are taken from the JSON rows as they are; typed values have their column's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from millpond.ingestion.column_rules import HOLDS_NUL, NESTED, NUL, WRONG, Value, first
from millpond.ingestion.columns import Column
from millpond.ingestion.json_sql import BLANKS, Extraction, has_nul
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.row_order import join_key, order_later_first
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import STAGED_BROKEN, STAGED_LINE, Casts, TypedRows, column_type
from millpond.ingestion.unknown_fields import UNKNOWN, list_unknown, unknown_reason
from millpond.naming import literal, quoted

SEPARATOR = "; "
"""Between the reasons of one row."""


class Contract:
    """The row contract of `table`, with `added` columns (name → field) that the spec does not name.

    Rows are JSON texts, or typed if their `schema` is given; `marked` ones say why they cannot be taken
    apart. `zone` is the one of days. Unless they `may_hold_nul`, no text of typed rows holds a NUL character.
    """

    def __init__(
        self,
        table: SourceTable,
        added: Mapping[str, str],
        schema: pa.Schema | None = None,
        zone: str = "UTC",
        marked: bool = False,
        may_hold_nul: bool = True,
        casts: Casts | None = None,
    ) -> None:
        self._marked = marked
        self.table, self.added, self._zone = table, added, zone
        event = table.event_time
        self.rows = TypedRows(schema, may_hold_nul, casts) if schema is not None else None
        columns = [(name, column, column.path(name)) for name, column in table.columns.items()]
        columns += [(name, self._added(field), (field,)) for name, field in added.items()]
        raw = {keys for _, column, keys in columns if column.type == "json"}
        self._extraction = Extraction((keys for *_, keys in columns), raw)
        self._taken = [
            Value(
                name,
                column,
                keys,
                self.rows.text(keys) if self.rows else self._extraction.value(keys, raw=keys in raw),
                "null" if name in added else table.on_bad(name),
                added=name in added,
                rounding=None if name in added else table.rounding(name),
                zone=zone if event and event.unit == "local" and event.column == name else None,
                **self._typed(column, keys),
            )
            for name, column, keys in columns
        ]
        """Every column of the raw table except the lineage columns, in order, as it is taken from a row."""
        self.values = [self._split(value) for value in self._taken]
        """The same over the split rows."""

    def _added(self, field: str) -> Column:
        found = self.rows.find((field,)) if self.rows else None
        return Column(type=column_type(found[1])) if found else Column()

    @property
    def added_types(self) -> dict[str, str]:
        """The types by field, of the fields that the spec does not name and that are no texts."""
        found = {self.added[value.name]: value.column.type for value in self.values if value.added}
        return {field: kind for field, kind in found.items() if kind != "string"}

    def _typed(self, column: Column, keys: tuple[str, ...]) -> dict[str, Any]:
        if self.rows is None:
            return {}
        found, native = (
            self.rows.find(keys),
            self.rows.native(keys, column.type, rounded=column.round is not None),
        )
        return {
            "native": native,
            "field": (self.rows.find_cast(keys, column.type) or found[0]) if found and native else None,
            "exact": self.rows.is_exact(keys, column.type),
            "naive": self.rows.is_naive(keys),
            "nested_if": f"{self.rows.text(keys)} is not null" if self.rows.is_nested(keys) else "false",
            "of_json": False,
        }

    def _split(self, value: Value) -> Value:
        """Return a value over the split rows, which hold it typed, or as it was staged, or as text."""
        stored = value.native is None and value.column.type not in {"string", "json"}
        text = value.text if self.rows else quoted(f"{value.name} text")
        return replace(value, stored=stored, text=text)

    def _keeps_text(self, value: Value) -> bool:
        """Return whether the text of a value is asked for after rows were split."""
        return not value.stored or value.column.no_value is not None or value.name == self.table.version

    def _of(self, name: str) -> Value:
        """Return a value over rows with `taken` values."""
        found = next(value for value in self._taken if value.name == name)
        return replace(found, stored=self._split(found).stored)

    def taken(self, rows: str) -> str:
        """Return the relation `rows` with the values whose texts are cast, and with the key of each row."""
        cast = "".join(f", {v.as_strict()} as {v.strict}" for v in self._taken if self._split(v).stored)
        key = join_key([self._of(name) for name in self.table.key])
        return f"(select *, {key} as __key from (select *{cast} from {rows}))"  # noqa: S608 - quoted, literals

    @property
    def key(self) -> Value | None:
        """The value that identifies a row; None if several do."""
        (name, *others) = self.table.key
        return None if others else next(value for value in self.values if value.name == name)

    def readable(self) -> str:
        """Return the condition under which a row is looked into: a JSON object of bearable size."""
        return self._is_whole() if self.rows else f"{self._is_modest()} and json_valid({PAYLOAD})"

    def row(self) -> str:
        """Return the expression for the structure that all values of JSON rows are taken from.

        It is null where a row is not readable.
        """
        structure = literal(self._extraction.structure())
        return f"case when {self._is_modest()} then try(from_json({PAYLOAD}, {structure})) end"

    def _is_whole(self) -> str:
        return f"{STAGED_BROKEN} is null" if self._marked else "true"

    def _is_modest(self) -> str:
        """Return the condition that a row has a bearable size and begins as a JSON object does."""
        blank = f"starts_with(ltrim({PAYLOAD}, {BLANKS}), '{{')"
        begins = f"(starts_with({PAYLOAD}, '{{') or starts_with({PAYLOAD}, ' {{') or {blank})"
        size = self.table.quarantine.max_row_bytes
        return f"{self._is_whole()} and strlen({PAYLOAD}) <= {size} and {begins}"

    def payload(self) -> str:
        """Return the expression for a row as JSON text."""
        if self.rows is None:
            return PAYLOAD
        found = self.rows.payload()
        return (
            f"case when {STAGED_BROKEN} is null then {found} else {STAGED_LINE} end"
            if self._marked
            else found
        )

    def split(self) -> str:
        """Return the SELECT list of a row's values and of its faults; `__json` says if it is readable."""
        return ", ".join([*self.cast(), *self._kept(), self.faults()])

    def cast(self) -> Iterator[str]:
        """Yield the expressions of the values that were cast, and of whether one was sent."""
        for taken, value in zip(self._taken, self.values, strict=True):
            if value.stored:
                yield value.strict
                yield f"({taken.text} <> '')::utinyint as {value.state}"

    def _kept(self) -> Iterator[str]:
        """Yield the columns of the split rows that are as they were taken."""
        kept = []
        for taken, value in zip(self._taken, self.values, strict=True):
            if self._keeps_text(value):
                if self.rows is None:
                    yield f"{taken.text} as {value.text}"
                elif (found := self.rows.find(value.keys)) is not None:
                    kept.append(found[0].partition(".")[0])
        yield from dict.fromkeys(kept)

    def faults(self) -> str:
        """Return the SELECT list of what is wrong with rows."""
        if self.rows:
            broken = STAGED_BROKEN if self._marked else "null::varchar"
            nested = "".join(
                f",{value.name},"
                for value in self.values
                if value.column.type == "string" and not value.added and value.nested_if != "false"
            )
            return (
                f"{broken} as __broken, {literal(nested)} as {NESTED}, {self.rows.holds_nul()} as {NUL},"
                f" {list_unknown(self.table, self.rows)} as {UNKNOWN}"
            )
        nested = ", ".join(
            f"case when {value.nested()} then {literal(f',{value.name},')} end"
            for value in self._taken
            if value.column.type == "string" and not value.added
        )
        # which most rows do not: a bracket, or a brace after the one that begins the row
        holds_nested = f"(contains({PAYLOAD}, '[') or contains(substring({PAYLOAD}, 3), '{{'))"
        found = f"case when __json and {holds_nested} then concat({nested}) else '' end" if nested else "''"
        return (
            f"case when not __json then {self._unreadable()} end as __broken, {found} as {NESTED},"
            f" case when __json and {has_nul(PAYLOAD)} then true else false end as {NUL},"
            f" {list_unknown(self.table, None)} as {UNKNOWN}"
        )

    def typed(self, rows: str) -> str:
        """Return the relation `rows` with the clean values, under their columns' names."""
        clean = ", ".join(f"{value.clean()} as {quoted(value.name)}" for value in self.values)
        return f"(select *, {clean} from {self.strict(rows)})"  # noqa: S608 - names quoted, literals

    def strict(self, rows: str) -> str:
        """Return the relation `rows` with the values that the expressions of columns are over."""
        values = "".join(f", {v.as_strict()} as {v.strict}" for v in self.values if not v.stored)
        return f"(select *{values} from {rows})"  # noqa: S608 - names quoted, literals

    def loaded(self, *, any_null: bool = True) -> str:
        """Return the SELECT list of good rows' values over strict ones; `__nulled`: one became null.

        Unless `any_null`, none of any row did.
        """
        values = ((v.loose() if not any_null else self._loaded(v), v.name) for v in self.values)
        return ", ".join(f"{value} as {quoted(name)}" for value, name in values)

    def time(self) -> str:
        """Return the expression for the row's time in microseconds; NULL where it has none."""
        event = self.table.event_time
        return self._of(event.column).micros(event.unit, self._zone) if event else "null::bigint"

    def later_first(self) -> str:
        """Return the ORDER BY list that puts the later of two rows with one key first."""
        return order_later_first(next((v for v in self.values if v.name == self.table.version), None))

    def reason(self, frequent: Sequence[str] = ()) -> str:
        """Return the expression for all rules that a row breaks, as one text; NULL where it breaks none.

        Of fields that the spec does not name, the `frequent` ones are named.
        """
        rules = [case for _, case, _ in self._rules()]
        if self.table.unknown_columns == "quarantine":
            rules.append(unknown_reason(frequent))
        return f"coalesce(__broken, {_join(rules)})"

    def noteworthy(self) -> str:
        """Return a condition that holds for all rows that break a rule or have a value that became null.

        The texts of `reason` and `nulled` are made of these few rows alone.
        """
        conditions = ["__broken is not null"]
        conditions += [condition for value in self.values for condition, _ in self._conditions(value)]
        conditions += [value.became_null() for value in self.values if value.may_become_null]
        if self.table.unknown_columns == "quarantine":
            conditions.append(f"len({UNKNOWN}) > 0")
        return " or ".join(f"({condition})" for condition in conditions)

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
        found = first(
            [
                (f"strlen({PAYLOAD}) > {size}", f"row is larger than {size} bytes"),
                (f"not json_valid({PAYLOAD})", "row is not valid JSON"),
            ],
            literal("row is no JSON object"),
        )
        return f"coalesce({STAGED_BROKEN}, {found})" if self._marked else found

    def _rules(self) -> Iterator[tuple[Value, str, str]]:
        """Yield each rule's column, the expression for its text where a row breaks it, and the text."""
        for value in self.values:
            for condition, text in self._conditions(value):
                yield value, f"case when {condition} then {literal(text)} end", text

    def _conditions(self, value: Value) -> Iterator[tuple[str, str]]:
        event, column = self.table.event_time, value.column
        if column.required or value.name in self.table.identifying:
            yield value.missing(), f"{value.name} is missing"
        elif column.required_when:
            yield f"{value.missing()} and ({column.required_when})", f"{value.name} is missing"
        if column.type in {"string", "json"} and not (value.lenient or value.exact):
            if column.type == "string":
                yield f"contains({NESTED}, {literal(f',{value.name},')})", f"{value.name} {WRONG['string']}"
            yield f"{NUL} and {value.holds_nul()}", f"{value.name} {HOLDS_NUL}"
        yield from value.broken()
        if event and value.name == event.column:
            mistyped = f"coalesce({value.mistyped()}, false)"
            yield f"__micros is null and {value.is_there} and not {mistyped}", f"{value.name} is no time"


def _join(texts: Iterable[str]) -> str:
    found = ", ".join(texts)
    return f"nullif(concat_ws({literal(SEPARATOR)}, {found}), '')" if found else "null::varchar"
