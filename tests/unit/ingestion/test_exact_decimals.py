"""Typed values with more decimals than their column has are no values of it, unless they are rounded."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from millpond.ingestion.typed_rows import TypedRows, staged_name

VALUES: list[tuple[pa.DataType, list[object], list[str | None]]] = [
    (pa.float64(), [1.1, 2.0, 10.125, 0.30000000000000004], ["1.10", "2.00", None, None]),
    (pa.decimal128(12, 4), [Decimal("1.5000"), Decimal("1.2345")], ["1.50", None]),
    (pa.decimal128(12, 1), [Decimal("1.5")], ["1.50"]),
    (pa.int32(), [7], ["7.00"]),
]


@pytest.mark.parametrize(("kind", "values", "exact"), VALUES, ids=lambda value: str(value)[:20])
def test_a_typed_value_is_exact_or_rounded_on_purpose(
    kind: pa.DataType, values: list[object], exact: list[str | None]
) -> None:
    rows = TypedRows(pa.schema([("amount", kind)]))
    staged = pa.table({staged_name(0): pa.array(values, kind)})
    with duckdb.connect() as connection:
        connection.register("staged", staged)

        def read(*, rounded: bool) -> list[str | None]:
            expression = rows.native(("amount",), "decimal(18,2)", rounded=rounded)
            found = connection.execute(f"select ({expression})::varchar from staged").fetchall()
            return [value for (value,) in found]

        assert read(rounded=False) == exact
        assert None not in read(rounded=True)
