"""What a spec may say about one column of a raw table, and the types it may have."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from millpond.ingestion.part import Part

_SQL_TYPES: Final[dict[str, str]] = {
    "string": "varchar",
    "int": "bigint",
    "number": "double",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "date": "date",
    "json": "varchar",
}
COLUMN_TYPES: Final = tuple(_SQL_TYPES)
"""The types that a column may have, besides decimal(18,2) and the like."""
_DECIMAL: Final = re.compile(r"decimal\((\d+), ?(\d+)\)")
_MOST_DIGITS: Final = 38


def _column_type(name: str) -> str:
    if name in _SQL_TYPES:
        return name
    found = _DECIMAL.fullmatch(name)
    if found and 1 <= int(found[1]) <= _MOST_DIGITS and int(found[2]) <= int(found[1]):
        return f"decimal({found[1]},{found[2]})"
    raise ValueError(
        f"there is no type {name!r}; there are {', '.join(_SQL_TYPES)} and decimal(18,2);"
        " for example type: int"
    )


ColumnType = Annotated[str, AfterValidator(_column_type)]
EXAMPLE: Final = "sgv: { type: int, min: 1, max: 1000 }"

OnBad = Literal["null", "quarantine", "fail"]
"""What becomes of a bad value: null in a row that stays, its row in quarantine, or a day that fails."""
Rounding = Literal["down", "nearest"]
"""How a number with a fraction becomes a whole one; halves go away from zero."""


def decimal_digits(kind: str) -> tuple[int, int] | None:
    """Return precision and scale of a decimal type; None for any other."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None


def sql_type(kind: str) -> str:
    """Return the SQL type of the column type `kind`."""
    return _SQL_TYPES.get(kind, kind)


def is_numeric(kind: str) -> bool:
    """Return whether values of the column type `kind` are numbers."""
    return kind in {"int", "number"} or kind.startswith("decimal")


class NoValue(Part):
    """Codes that a source sends in place of a value: below or above a number, or one of a list.

    Codes below and above a number are of the column's type: a fraction is none in a column of type int.
    """

    at_least: int | float | None = Field(
        None,
        description="the lowest code below `below`; what is lower is a value; default: no limit",
        examples=["no_value: { at_least: 0, below: 20 }"],
    )
    below: int | float | None = Field(
        None, description="numbers below this are codes", examples=["no_value: { below: 20 }"]
    )
    above: int | float | None = Field(
        None, description="numbers above this are codes", examples=["no_value: { above: 900 }"]
    )
    values: tuple[str | int | float, ...] = Field(
        (), strict=False, description="list of codes", examples=["no_value: [-999, n/a]"]
    )

    @model_validator(mode="after")
    def _says_something(self) -> NoValue:
        if self.at_least is not None and (self.below is None or self.at_least >= self.below):
            raise ValueError(
                "no_value.at_least needs a larger no_value.below;"
                " for example no_value: { at_least: 0, below: 20 }"
            )
        if self.below is None and self.above is None and not self.values:
            raise ValueError("no_value names no code; for example no_value: { below: 20 }")
        return self


def _to_list(value: Any) -> Any:
    return {"values": value} if isinstance(value, list | tuple) else value


class Column(Part):
    """A column of a raw table: which field of the source's rows it takes, and what its values must be."""

    type: ColumnType = Field(
        "string",
        description="`string`, `int`, `number`, `bool`, `timestamp`, `date`, `json` or `decimal(18,2)`",
        examples=["type: int"],
    )
    field: str | None = Field(
        None,
        min_length=1,
        description="field of the row, dots lead into objects, `[0]` into lists of JSON; default: the name of"
        " the column",
        examples=["field: actor.login", 'field: "items[0].price"'],
    )
    format: str | None = Field(
        None,
        min_length=1,
        description="form of a time or date that is text, as in strftime; default: ISO 8601",
        examples=['format: "%d.%m.%Y %H:%M"'],
    )
    required: bool = Field(False, description="whether every row has a value", examples=["required: true"])
    required_when: str | None = Field(
        None,
        min_length=1,
        description="SQL condition over the columns under which a value is required",
        examples=["required_when: \"type = 'sgv'\""],
    )
    optional: bool | str = Field(
        False,
        description="true, or the SQL condition over the columns under which a row may lack the field; of the"
        " others at least one must have it, or the day is not loaded",
        examples=["optional: true", "optional: \"type <> 'sgv'\""],
    )
    min: int | float | None = Field(None, description="lowest value of a number", examples=["min: 1"])
    max: int | float | None = Field(None, description="highest value of a number", examples=["max: 1000"])
    allowed: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        strict=False,
        description="the only values there may be",
        examples=["allowed: [Flat, NONE]"],
    )
    on_bad: OnBad | None = Field(
        None,
        description="what a value of the wrong type, out of min and max or not allowed leads to; default:"
        " quarantine for key, event_time, version and required columns, null for the others",
        examples=["on_bad: null", "on_bad: quarantine"],
    )
    round: Rounding | None = Field(
        None,
        description="how an int column takes a number with a fraction, or a decimal column one with more"
        " decimals, which is a bad value without it; times since 1970 are rounded down",
        examples=["round: nearest", "round: down"],
    )
    no_value: Annotated[NoValue, BeforeValidator(_to_list)] | None = Field(
        None,
        description="codes that mean there is no value: null, counted, neither missing nor bad",
        examples=["no_value: { below: 20 }"],
    )
    description: str = Field(
        "", description="what it is, for Dagster's pages", examples=["description: Sensor glucose in mg/dL"]
    )

    @field_validator("on_bad", mode="before")
    @classmethod
    def _null_is_a_word_here(cls, value: Any) -> Any:
        return "null" if value is None else value  # YAML reads the word null as nothing

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Column:
        if (self.min is not None or self.max is not None) and not is_numeric(self.type):
            raise ValueError(f"min and max need type int or number, not {self.type}; for example {EXAMPLE}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; for example {EXAMPLE}")
        if self.round is not None and self.type != "int" and not decimal_digits(self.type):
            raise ValueError(
                f"round needs type int or decimal, not {self.type}; for example {{ type: int, round: down }}"
            )
        if self.round == "down" and self.type != "int":
            raise ValueError(
                f"a column of type {self.type} is rounded to the nearest; for example round: nearest"
            )
        if self.allowed is not None and self.type != "string":
            raise ValueError("allowed needs type string; for example { type: string, allowed: [Flat, NONE] }")
        if self.required and self.on_bad == "null":
            raise ValueError("a required value cannot become null; for example on_bad: quarantine")
        if self.optional and (self.required or self.required_when):
            raise ValueError("a required column cannot be optional; for example optional: true alone")
        if self.format and self.type not in {"timestamp", "date"}:
            raise ValueError(
                f"format needs type timestamp or date, not {self.type};"
                ' for example { type: date, format: "%d.%m.%Y" }'
            )
        codes = self.no_value
        if codes and (codes.below is not None or codes.above is not None) and not is_numeric(self.type):
            raise ValueError(
                f"no_value.below and no_value.above need type int or number, not {self.type};"
                " for example no_value: [n/a]"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _type_alone(cls, value: Any) -> Any:
        """Take `id: int` for `id: { type: int }`."""
        return {"type": value} if isinstance(value, str) else value

    def path(self, name: str) -> tuple[str, ...]:
        """Return the keys that lead to the value in a row of the source, for the column called `name`."""
        return tuple((self.field or name).split("."))
