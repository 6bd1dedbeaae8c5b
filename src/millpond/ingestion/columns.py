"""What a spec may say about one column of a raw table, and the types it may have."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from millpond.ingestion.part import Part

ColumnType = Literal["string", "int", "number", "bool", "timestamp", "date", "json"]

SQL_TYPES: Final[dict[str, str]] = {
    "string": "varchar",
    "int": "bigint",
    "number": "double",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "date": "date",
    "json": "varchar",
}
EXAMPLE: Final = "sgv: { type: int, min: 1, max: 1000 }"


class Column(Part):
    """A column of a raw table: which field of the source's rows it takes, and what its values must be."""

    type: ColumnType = Field("string", examples=["type: int"])
    field: str | None = Field(
        None,
        min_length=1,
        description="field of the row, dots lead into objects; default: the column's name",
        examples=["field: actor.login"],
    )
    required: bool = Field(False, examples=["required: true"])
    required_when: str | None = Field(
        None,
        min_length=1,
        description="SQL condition over the columns under which a value is required",
        examples=["required_when: \"type = 'sgv'\""],
    )
    min: int | float | None = Field(None, examples=["min: 1"])
    max: int | float | None = Field(None, examples=["max: 1000"])
    allowed: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        strict=False,
        description="the only values there may be",
        examples=["allowed: [Flat, NONE]"],
    )
    description: str = Field("", examples=["description: Sensor glucose in mg/dL"])

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Column:
        if (self.min is not None or self.max is not None) and self.type not in {"int", "number"}:
            raise ValueError(f"min and max need type int or number, not {self.type}; for example {EXAMPLE}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; for example {EXAMPLE}")
        if self.allowed is not None and self.type != "string":
            raise ValueError("allowed needs type string; for example { type: string, allowed: [Flat, NONE] }")
        return self

    def path(self, name: str) -> tuple[str, ...]:
        """Return the keys that lead to the value in a row of the source, for the column called `name`."""
        return tuple((self.field or name).split("."))
