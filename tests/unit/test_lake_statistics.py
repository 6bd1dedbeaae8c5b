"""Statistics of data files are those that PyIceberg derives from the same footer."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from millpond.internals.pyiceberg import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    serialize_statistics,
)
from millpond.lake.statistics import StatisticsPlan

_COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "flag": (BooleanType(), st.booleans()),
    "small": (IntegerType(), st.integers(-(2**31), 2**31 - 1)),
    "large": (LongType(), st.integers(-(2**63), 2**63 - 1)),
    "single": (FloatType(), st.floats(width=32)),
    "double": (DoubleType(), st.floats()),
    "day": (DateType(), st.dates()),
    "time": (TimeType(), st.times()),
    "at": (TimestampType(), st.datetimes()),
    "at_utc": (TimestamptzType(), st.datetimes(timezones=st.just(dt.UTC))),
    "text": (StringType(), st.one_of(st.text(), st.sampled_from(["\U0010ffff" * 20, "é" * 17, "a" * 16]))),
}
_MODES = [
    {},
    {"write.metadata.metrics.default": "counts"},
    {"write.metadata.metrics.default": "full"},
    {"write.metadata.metrics.default": "none", "write.metadata.metrics.column.text": "truncate(2)"},
]


@given(
    st.lists(st.tuples(*(st.one_of(st.none(), values) for _, values in _COLUMNS.values())), max_size=30),
    st.sampled_from(_MODES),
    st.integers(1, 40),
)
def test_statistics_are_those_of_pyiceberg(
    rows: list[tuple[Any, ...]], properties: dict[str, str], group_rows: int
) -> None:
    schema = _make_schema({name: kind for name, (kind, _) in _COLUMNS.items()})
    _compare(schema, rows, properties, group_rows)


def test_columns_of_other_types_have_the_statistics_of_pyiceberg() -> None:
    _compare(_make_schema({"price": DecimalType(9, 2), "n": LongType()}), [(None, 1), (None, 2)], {}, 10)


@pytest.mark.parametrize("mode", _MODES)
def test_a_file_without_statistics_has_those_of_pyiceberg(mode: dict[str, str]) -> None:
    schema = _make_schema({"n": LongType()})
    _compare(schema, [(1,), (2,)], mode, 10, write_statistics=False)


def _make_schema(kinds: dict[str, Any]) -> Schema:
    fields = (
        NestedField(n, name, kind, required=False) for n, (name, kind) in enumerate(kinds.items(), start=1)
    )
    return Schema(*fields)


def _compare(
    schema: Schema, rows: list[tuple[Any, ...]], properties: dict[str, str], group_rows: int, **options: Any
) -> None:
    columns = schema_to_pyarrow(schema)
    arrays = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(columns)]
    with pq.ParquetWriter(io.BytesIO(), columns, store_decimal_as_integer=True, **options) as writer:
        writer.write(pa.Table.from_arrays(arrays, schema=columns), row_group_size=group_rows)
    footer = writer.writer.metadata
    usual = data_file_statistics_from_parquet_metadata(
        footer, compute_statistics_plan(schema, properties), parquet_path_to_id_mapping(schema)
    )
    assert StatisticsPlan(schema, properties).collect(footer) == serialize_statistics(usual)
