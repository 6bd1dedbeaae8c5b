"""Arrow to PostgreSQL's binary COPY format, a column at a time: 20 times as fast as a value at a time.

The format: https://www.postgresql.org/docs/18/sql-copy.html (binary format); of the values: the `*_recv`
functions of Postgres, as psycopg's binary dumpers write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Values = npt.NDArray[Any]
Positions = npt.NDArray[np.int64]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_BLOCK_BYTES = 4 << 20
_DAYS_TO_2000 = 10_957
MICROSECONDS_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
_NOTHING = pa.scalar(b"", pa.large_binary())

Encoder = Callable[[Any], Any]
"""Turns an Arrow array into the bytes Postgres receives; bytes of null values are ignored.

Returns an array of numpy in network byte order, one row each, if all values take the same number of bytes,
else an Arrow array of large binary values, in which the null ones are empty.
"""


def encode_table(table: pa.Table, encoders: Sequence[Encoder]) -> Iterator[bytes]:
    """Yield the whole COPY stream of `table`, some megabytes at a time."""
    rows = max(1, min(65_536, _BLOCK_BYTES * table.num_rows // max(table.nbytes, 1)))
    block = HEADER
    for batch in table.to_batches(max_chunksize=rows):
        encoded = _encode_batch(batch, encoders)
        if len(block) + len(encoded) > _BLOCK_BYTES:
            yield block
            block = b""
        block += encoded
    yield block + TRAILER


def _encode_batch(batch: pa.RecordBatch, encoders: Sequence[Encoder]) -> bytes:
    """Lay what all rows have in the same places in records, and let Arrow join these with all else."""
    pieces = []
    fields: list[Values] = [np.full(batch.num_rows, len(encoders), ">i2")]
    for encode, column in zip(encoders, batch.columns, strict=True):
        values = encode(column)
        if isinstance(values, np.ndarray) and not column.null_count:
            size = values.nbytes // max(len(values), 1)
            fields += [np.full(batch.num_rows, size, ">i4"), values]
            continue
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        if isinstance(values, np.ndarray):
            values = _leave_out_nulls(values, valid)
        lengths = np.where(valid, pc.binary_length(values).to_numpy(zero_copy_only=False), -1)
        pieces += [_lay_in_records([*fields, lengths.astype(">i4")]), values]
        fields = []
    if fields:
        pieces.append(_lay_in_records(fields))
    return _get_bytes(pc.binary_join_element_wise(*pieces, _NOTHING) if len(pieces) > 1 else pieces[0])


def _lay_in_records(fields: Sequence[Values]) -> Any:
    """Return for each row one binary value: its values of the fields one after another."""
    forms = [(f"f{index}", field.dtype, field.shape[1:]) for index, field in enumerate(fields)]
    records = np.empty(len(fields[0]), forms)
    for (name, *_), field in zip(forms, fields, strict=True):
        records[name] = field
    return _make_binary(records, np.arange(len(records) + 1) * records.itemsize)


def _leave_out_nulls(values: Values, valid: npt.NDArray[np.bool_]) -> Any:
    size = values.nbytes // max(len(values), 1)
    return _make_binary(values[valid], np.concatenate([[0], np.cumsum(valid * size)]))


def _make_binary(data: Values, offsets: Positions) -> Any:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _get_bytes(joined: Any) -> bytes:
    _, offsets, data = joined.buffers()
    ends = np.frombuffer(offsets, np.int64, len(joined) + 1, joined.offset * 8)
    first, last = int(ends[0]), int(ends[-1])
    found: bytes = data.slice(first, last - first).to_pybytes()
    return found


def make_number_encoder(form: str) -> Encoder:
    """Return the encoder of integers and floats of a fixed size, for example `>i8`."""
    return lambda array: _to_numpy(array).astype(form)


def encode_boolean(array: Any) -> Values:
    """Encode booleans."""
    return _to_numpy(array.cast(pa.uint8()))


def encode_date(array: Any) -> Values:
    """Encode dates: days since 2000-01-01."""
    return (_to_numpy(array.view(pa.int32())) - _DAYS_TO_2000).astype(">i4")


def encode_timestamp(array: Any) -> Values:
    """Encode timestamps in microseconds, with a zone or without: microseconds since 2000-01-01."""
    return (_to_numpy(array.view(pa.int64())) - MICROSECONDS_TO_2000).astype(">i8")


def encode_time(array: Any) -> Values:
    """Encode times of the day in microseconds."""
    return _to_numpy(array.view(pa.int64())).astype(">i8")


def encode_bytes(array: Any) -> Any:
    """Encode text (UTF-8) and binary values."""
    return pc.fill_null(array.cast(pa.large_binary()), b"")


def encode_decimal(array: Any) -> Values:
    """Encode decimals: base-10000 digits around the decimal point; Postgres drops those that are zero."""
    scale = max(array.type.scale, 0)
    values = _to_unscaled(array, 10 ** (-scale % 4 + max(-array.type.scale, 0)))
    digits: list[Positions] = []
    rest = np.abs(values)
    while not digits or (rest > 0).any():
        digits.append((rest % 10_000).astype(np.int64))
        rest = rest // 10_000
    weight = len(digits) - -(-scale // 4) - 1
    sign = np.where(values < 0, 0x4000, 0)
    shape = np.full(len(values), 1)
    words = np.stack([shape * len(digits), shape * weight, sign, shape * scale, *reversed(digits)], axis=1)
    return words.astype(">u2")


def _to_unscaled(array: Any, factor: int) -> npt.NDArray[Any]:
    """Return the integers behind decimals times `factor`: of 64 bits if they fit, else Python's."""
    filled = array.cast(pa.decimal128(array.type.precision, array.type.scale)).fill_null(0)
    halves = np.frombuffer(filled.buffers()[1], np.int64, 2 * len(filled), filled.offset * 16).reshape(-1, 2)
    low, high = halves[:, 0], halves[:, 1]
    limit = (1 << 62) // factor
    if ((high == low >> 63) & (low < limit) & (low > -limit)).all():
        return low * factor
    whole = [(int(h) << 64) + int(lo) for h, lo in zip(high, low.view(np.uint64), strict=True)]
    return np.array([value * factor for value in whole], dtype=object)


def _to_numpy(array: Any) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = array.fill_null(0).to_numpy(zero_copy_only=False)
    return found
