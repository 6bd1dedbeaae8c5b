"""One column's part of a row contract as SQL: its clean value, when a row breaks it, and what became null.

A clean value is null where the text is not of the column's type or is a code for "no value"; in a column
whose bad values become null, also where it is out of range or not allowed. Expressions that explain are only
evaluated for rows where a text was there and no clean value is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from millpond.ingestion.columns import Column, OnBad, Rounding, decimal_digits, is_numeric, sql_type
from millpond.ingestion.json_sql import has_nul, json_path, micros
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.naming import literal, quoted

NESTED: Final = "__nested"
"""Column of the split rows: the text columns that hold an object or a list, as `,name,name,`."""
NUL: Final = "__nul"
"""Column of the split rows: whether a row holds a NUL character anywhere."""
NO_VALUE: Final = "has no value"
WRONG: Final = {
    "int": "is no whole number",
    "number": "is no number",
    "bool": "is neither true nor false",
    "timestamp": "is no time",
    "date": "is no date",
    "string": "is no text but an object or a list",
}
HOLDS_NUL: Final = "holds a NUL character"
_TOLD: Final = ("iso", "local")
"""Units of times of which the typed value says all."""


@dataclass(frozen=True)
class Value:
    """A column, the keys that lead to its value in a row, and the expression for that value as text.

    `on_bad` says what a bad value leads to; `added` columns are not in the spec and take any text.
    `rounding` is how a fraction becomes a whole number, or more decimals than a column has fewer; without it,
    it is a bad value.
    """

    name: str
    column: Column
    keys: tuple[str, ...]
    text: str
    on_bad: OnBad
    added: bool = False
    rounding: Rounding | None = None
    native: str | None = None
    """The expression for the value where its own type is that of the column, of typed rows."""
    field: str | None = None
    """The expression for the value as it was staged, where `native` is given."""
    nested_if: str | None = None
    """The condition that the value is an object or a list; None: its JSON says so."""
    naive: bool = False
    """Whether it is a typed time without a zone."""
    zone: str | None = None
    """The zone in which the times of this column without an offset are told; None: UTC."""
    of_json: bool = True
    """Whether it is a value of a JSON text, where true is written one way."""
    exact: bool = False
    """Whether each value that was staged is one of the column's type."""
    stored: bool = False
    """Whether the split rows have the strict value, and whether one was sent, as columns."""

    @property
    def lenient(self) -> bool:
        """Whether a bad value becomes null."""
        return self.on_bad == "null"

    @property
    def may_become_null(self) -> bool:
        """Whether a value that is there can be null in the lake."""
        may_be_bad = not self.exact or next(self._bounds(""), None) is not None
        return (self.lenient and may_be_bad) or self.column.no_value is not None

    def nested(self) -> str:
        """Return the condition that the value is an object or a list."""
        if self.nested_if is not None:
            return self.nested_if
        kind = f"json_type({PAYLOAD}, {json_path(self.keys)})"
        return f"left({self.text}, 1) in ('{{', '[') and {kind} in ('OBJECT', 'ARRAY')"

    def holds_nul(self) -> str:
        """Return the condition that the value holds a NUL character; only asked where the row holds one."""
        if self.column.type == "json":
            return has_nul(self.text)
        return f"contains({self.text}, chr(0))"

    def loose(self) -> str:
        """Return the typed value of a text that is known to be good."""
        if self.stored:
            return self.strict
        found = self._as_sent()
        if self.zone is None or self.column.type != "timestamp":
            return found
        if self.naive or self.column.format:
            return f"timezone({literal(self.zone)}, timezone('UTC', {found}))"
        return found if self.native else f"make_timestamptz({self.micros('local', self.zone)})"

    def _as_sent(self) -> str:
        kind, text, form = self.column.type, self.text, self.column.format
        if self.native:
            return self.native
        if form:
            return f"try_strptime({text}, {literal(form)})::{sql_type(kind)}"
        if kind == "bool" and not self.of_json:
            return f"try_cast({text} as boolean)"
        if kind == "bool":
            return f"case {text} when 'true' then true when 'false' then false end"
        if kind == "timestamp":
            return f"make_timestamptz({micros(text, 'iso')})"
        if kind == "int" and self.rounding:
            number, cast = f"try_cast({text} as double)", f"try_cast({text} as bigint)"
            whole = f"{'floor' if self.rounding == 'down' else 'round'}({number})"
            return f"case when {number} = {cast}::double then {cast} else try_cast({whole} as bigint) end"
        return text if kind in {"string", "json"} else f"try_cast({text} as {sql_type(kind)})"

    def micros(self, unit: str, zone: str) -> str:
        """Return the expression for the value as microseconds since 1970; times of `unit`, in `zone`."""
        if self.stored and self.column.type == "timestamp" and not self.column.format and unit in _TOLD:
            return f"epoch_us({self.strict})"
        if unit == "date":
            begins = f"regexp_matches({self.text}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
            typed = self.native or self.column.format
            day = self.loose() if typed else f"case when {begins} then try_cast({self.text} as date) end"
            return f"epoch_us(timezone({literal(zone)}, ({day})::date::timestamp))"
        if unit in {"ms", "s"}:
            return micros(self.text, unit)
        if self.native or self.column.format:
            local = unit == "local" and (self.naive or self.column.format)
            value = f"({self._as_sent()})"
            moment = f"timezone({literal(zone)}, timezone('UTC', {value}))" if local else value
            return f"case when isfinite({value}) then epoch_us({moment}) end"
        if unit == "local":
            offset = f"regexp_matches({self.text}, ':.*(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
            there = f"epoch_us(timezone({literal(zone)}, try_cast({self.text} as timestamp)))"
            return f"case when {offset} then {micros(self.text, 'iso')} else {there} end"
        return micros(self.text, "iso")

    @property
    def strict(self) -> str:
        """The name of the typed value before bounds and codes; `Contract.typed` selects it first.

        The rules name it many times: written out, planning them took a sixth of the time of a small load.
        """
        return quoted(f"{self.name} strict")

    def clean(self) -> str:
        """Return the typed value, null where there is none that may be loaded, over strict values."""
        value = self.strict
        if self.lenient and (conditions := [ok for ok, _ in self._bounds(value)]):
            value = f"case when {' and '.join(conditions)} then {value} end"
        if self.column.no_value:
            value = f"case when not coalesce({self._code()}, false) then {value} end"
        return value

    @property
    def state(self) -> str:
        """The name of the stored column that is 1 where a value was sent, 0 where it is an empty text."""
        return quoted(f"{self.name} sent")

    @property
    def sent(self) -> str:
        """The expression that is null exactly where no value was sent; for numbers, no text is made."""
        return self.state if self.stored else self.field or self.text

    @property
    def is_there(self) -> str:
        """The condition that a value was sent, and no empty text."""
        if self.stored:
            return f"{self.state} = 1"
        return f"{self.field} is not null" if self.field else f"{self.text} <> ''"

    def missing(self) -> str:
        """Return the condition that there is no value at all."""
        missing = f"{self.field} is null" if self.field else f"coalesce({self.text}, '') = ''"
        if self.stored:
            missing = f"coalesce({self.state}, 0) = 0"
        return f"{missing} and not coalesce({self._code()}, false)" if self.column.no_value else missing

    def broken(self) -> Iterator[tuple[str, str]]:
        """Yield the conditions under which a bad value breaks the contract, over clean values, and why."""
        name = quoted(self.name)
        if self.lenient:
            return
        if self.column.type not in {"string", "json"}:
            yield self.mistyped(), f"{self.name} {_wrong(self.column.type)}"
        for fits, reason in self._bounds(name):
            yield f"not ({fits})", f"{self.name} {reason}"

    def mistyped(self) -> str:
        """Return the condition, over clean values, that the text is not of the column's type."""
        if self.exact or self.column.type in {"string", "json"}:
            return "false"
        wrong = f"({quoted(self.name)} is null and {self.is_there})"
        return f"({wrong} and not coalesce({self._code()}, false))" if self.column.no_value else wrong

    def nulled(self) -> str:
        """Return the expression for why a value that was there is null; null where it is not."""
        kind = self.column.type
        cases = [(self._code(), NO_VALUE)] if self.column.no_value else []
        if self.lenient:
            if kind in {"string", "json"}:
                if kind == "string" and not self.added:
                    cases.append((self._is_nested(), WRONG[kind]))
                cases.append((f"{NUL} and {self.holds_nul()}", HOLDS_NUL))
            else:
                cases.append((f"{self.strict} is null", _wrong(kind)))
            cases += [(f"not ({fits})", reason) for fits, reason in self._bounds(self.strict)]
        reasons = first((condition, f"{self.name} {reason}") for condition, reason in cases)
        return f"case when {self.became_null()} then {reasons} end"

    def became_null(self) -> str:
        """Return the condition, over clean values, that a value was there and is null."""
        there = f"{self.text} is not null" if self.column.type in {"string", "json"} else self.is_there
        return f"{quoted(self.name)} is null and {there}"

    def as_strict(self) -> str:
        """Return the expression for the typed value; null where the text is not of the column's type."""
        kind, text, loose = self.column.type, self.text, self.loose()
        if self.stored:
            return self.strict
        if self.native and (kind != "number" or self.exact):
            return loose
        if kind == "int" and self.rounding:
            fraction = f"try_cast({text} as double) <> {loose}::double"
            code = " or ".join(self._in_code_range(f"try_cast({text} as double)")) or "false"
            return f"case when not ({fraction} and ({code})) then {loose} end"
        if kind == "int":
            return f"case when try_cast({text} as double) = {loose}::double then {loose} end"
        if kind == "number":
            return f"case when isfinite({loose}) then {loose} end"
        if (digits := decimal_digits(kind)) and not self.rounding:
            finer = f"regexp_matches({text}, '[.][0-9]{{{digits[1]}}}[0-9]*[1-9]')"
            exponent = f"contains(lower({text}), 'e') and try_cast({text} as double) <> {loose}::double"
            return f"case when not ({finer} or ({exponent})) then {loose} end"
        if kind == "date" and not self.column.format:
            return f"case when regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') then {loose} end"
        if kind in {"string", "json"} and self.lenient and not self.exact:
            spoilt = f"{NUL} and {self.holds_nul()}"
            if kind == "string" and not self.added:
                spoilt = f"({spoilt}) or {self._is_nested()}"
            return f"case when {spoilt} then null else {text} end"
        return loose

    def _is_nested(self) -> str:
        return f"(contains({NESTED}, {literal(f',{self.name},')}) and left({self.text}, 1) in ('{{', '['))"

    def _bounds(self, value: str) -> Iterator[tuple[str, str]]:
        """Yield the conditions that a typed `value` must fulfil, and what it is if it does not."""
        column = self.column
        if column.min is not None:
            yield f"{value} >= {column.min!r}", f"is below {column.min}"
        if column.max is not None:
            yield f"{value} <= {column.max!r}", f"is above {column.max}"
        if column.allowed:
            yield f"{value} in ({_list(column.allowed)})", "is none of the allowed values"

    def _code(self) -> str:
        codes, number, value = self.column.no_value, f"try_cast({self.text} as double)", self.strict
        assert codes
        texts = [str(value) for value in codes.values]
        conditions = [f"{self.text} in ({_list(texts)})"] if texts else []
        if is_numeric(self.column.type):
            conditions += self._in_code_range(value)
            numbers = [code for code in codes.values if not isinstance(code, str)]
            conditions += [f"{number} = {code!r}" for code in numbers]
        return f"({' or '.join(conditions)})"

    def _in_code_range(self, value: str) -> list[str]:
        codes = self.column.no_value
        if codes is None:
            return []
        conditions = []
        if codes.below is not None:
            lowest = "" if codes.at_least is None else f"{value} >= {codes.at_least!r} and "
            conditions.append(f"({lowest}{value} < {codes.below!r})")
        if codes.above is not None:
            conditions.append(f"{value} > {codes.above!r}")
        return conditions


def first(cases: Iterable[tuple[str, str]], otherwise: str = "null") -> str:
    """Return the expression for the text of the first condition that holds."""
    whens = "".join(f" when {condition} then {literal(text)}" for condition, text in cases)
    return f"case{whens} else {otherwise} end" if whens else otherwise


def _wrong(kind: str) -> str:
    return WRONG.get(kind, f"is no {kind}")


def _list(values: Iterable[str]) -> str:
    return ", ".join(map(literal, values))
