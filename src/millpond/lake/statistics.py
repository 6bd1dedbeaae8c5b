"""Statistics of a new data file, from the footer that Parquet wrote, as PyIceberg derives them.

PyIceberg makes an object for each column of each file, which takes longer than to write a small file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from millpond.internals.pyiceberg import (
    MetricModeTypes,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    serialize_statistics,
    truncate_upper_bound_text_string,
)

_FORMATS: dict[type[PrimitiveType], str] = {
    BooleanType: "<?",
    IntegerType: "<i",
    LongType: "<q",
    FloatType: "<f",
    DoubleType: "<d",
    DateType: "<i",
    TimeType: "<q",
    TimestampType: "<q",
    TimestamptzType: "<q",
}
"""How bounds are packed of the types that Parquet stores in the same form."""

Encode = Callable[[Any], bytes | None]


@dataclass(frozen=True)
class _Column:
    """What is kept of a column: nothing but its size, counts, or bounds as well, if they are encoded."""

    field_id: int
    counted: bool
    is_text: bool = False
    encode_least: Encode | None = None
    encode_most: Encode | None = None


class StatisticsPlan:
    """What is kept of each column of the files of a schema that has no lists or structures."""

    def __init__(self, schema: Schema, properties: dict[str, str]) -> None:
        self._collectors = compute_statistics_plan(schema, properties)
        self._numbers = parquet_path_to_id_mapping(schema)
        columns = [_plan_column(self._collectors[field.field_id]) for field in schema.fields]
        self._columns = [column for column in columns if column]
        self._is_simple = len(self._columns) == len(columns)

    def collect(self, footer: pq.FileMetaData) -> dict[str, Any]:
        """Return the statistics of a file, by their names in a manifest."""
        found = self._collect_simple(footer) if self._is_simple else None
        if found is None:
            usual = data_file_statistics_from_parquet_metadata(footer, self._collectors, self._numbers)
            return serialize_statistics(usual)
        return found

    def _collect_simple(self, footer: pq.FileMetaData) -> dict[str, Any] | None:
        """Return the same for columns of the usual types; None if Parquet kept nothing of one of them."""
        sizes = {column.field_id: 0 for column in self._columns}
        values, nulls = ({c.field_id: 0 for c in self._columns if c.counted} for _ in range(2))
        least: dict[int, Any] = {}
        most: dict[int, Any] = {}
        offsets = []
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            for at, column in enumerate(self._columns):
                chunk, field_id = group.column(at), column.field_id
                if at == 0:
                    offsets.append(_find_offset(chunk))
                sizes[field_id] += chunk.total_compressed_size
                if not column.counted:
                    continue
                statistics = chunk.statistics
                if statistics is None or not statistics.has_null_count:
                    return None
                values[field_id] += chunk.num_values
                nulls[field_id] += statistics.null_count
                if column.encode_least and statistics.has_min_max:
                    low, high = (
                        (statistics.min, statistics.max)
                        if column.is_text
                        else (statistics.min_raw, statistics.max_raw)
                    )
                    least[field_id] = min(least.get(field_id, low), low)
                    most[field_id] = max(most.get(field_id, high), high)
        return {
            "record_count": footer.num_rows,
            "column_sizes": sizes,
            "value_counts": values,
            "null_value_counts": nulls,
            "nan_value_counts": {},
            "split_offsets": sorted(offsets),
            "lower_bounds": self._encode(least, "encode_least"),
            "upper_bounds": self._encode(most, "encode_most"),
        }

    def _encode(self, bounds: dict[int, Any], by: str) -> dict[int, bytes]:
        encoded = (
            (c.field_id, getattr(c, by)(bounds[c.field_id])) for c in self._columns if c.field_id in bounds
        )
        return {field_id: bound for field_id, bound in encoded if bound is not None}


def _plan_column(collector: Any) -> _Column | None:
    """Return what is kept of a column; None for a type whose bounds PyIceberg encodes."""
    kind, mode, field_id = collector.iceberg_type, collector.mode, collector.field_id
    if mode.type in (MetricModeTypes.NONE, MetricModeTypes.COUNTS):
        return _Column(field_id, mode.type == MetricModeTypes.COUNTS)
    if isinstance(kind, StringType):
        length = mode.length

        def encode_most(text: str) -> bytes | None:
            bound = truncate_upper_bound_text_string(text, length)
            return None if bound is None else bound.encode()

        return _Column(field_id, True, True, lambda text: text[:length].encode(), encode_most)
    if type(kind) in _FORMATS:
        pack = struct.Struct(_FORMATS[type(kind)]).pack
        return _Column(field_id, True, False, pack, pack)
    return None


def _find_offset(chunk: Any) -> int:
    """Return where the first column of a row group begins."""
    place: int = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset < place:
        return int(chunk.dictionary_page_offset)
    return place
