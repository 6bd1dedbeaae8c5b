"""Content hashes: the same rows give the same hash, in any order, whatever library version computed it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from millpond.lake.pools import get_pool
from millpond.lake.turns import end_turns
from millpond.naming import LINEAGE_COLUMNS

HASHING = "1"
"""The way in which rows are hashed; another number when the same rows get other hashes."""

_BITS = 1 << 64
_ALL_BITS = np.uint64(_BITS - 1)
_SHORT = 64
"""Bytes of the longest text that is hashed in columns, eight bytes of all texts at a time."""
_SAMPLE = 4_096
_LARGE = 20_000
"""Rows from which on several columns are hashed at once."""

_EPOCH = dt.date(1970, 1, 1)
_NO_DAY = -(1 << 31)
"""In place of null among days, which are numbers of days since 1970."""

_FEW_VALUES = 1 << 14
"""Values up to which all columns are hashed together."""

_STORED = {
    kind.id: np.dtype(stored)
    for kind, stored in (
        (pa.int8(), np.int8),
        (pa.int16(), np.int16),
        (pa.int32(), np.int32),
        (pa.int64(), np.int64),
        (pa.uint8(), np.uint8),
        (pa.uint16(), np.uint16),
        (pa.uint32(), np.uint32),
        (pa.uint64(), np.uint64),
        (pa.date32(), np.int32),
        (pa.timestamp("us"), np.int64),
        (pa.time64("us"), np.int64),
        (pa.float16(), np.float16),
        (pa.float32(), np.float32),
        (pa.float64(), np.float64),
    )
}
"""How Arrow stores the types whose values are hashed as they are."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Digest:
    """A multiset of rows: their number, and the sum of their hashes modulo 2^64."""

    rows: int = 0
    total: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.total + other.total) % _BITS)

    @property
    def hex(self) -> str:
        """The digest as 32 hexadecimal digits; equal exactly for equal contents."""
        return _hash_to_hex(f"{self.rows}:{self.total}")


Digests = dict[dt.date | None, Digest]
"""Digest per day of the window column; None holds the rows of tables without one."""


def compute_digests(table: pa.Table, day_column: str | None) -> Digests:
    """Return the digest of the rows of each day.

    A row's hash is mixed from those of its values, each mixed with its column's name. Nulls and
    LINEAGE_COLUMNS do not count, so a new column changes no hash while it is null.
    """
    if not table.num_rows:
        return {}
    names = sorted(set(table.column_names) - set(LINEAGE_COLUMNS))
    hashed = splitmix(_hash_columns(table, names))
    if not day_column:
        return {None: Digest(len(hashed), int(hashed.sum()))}
    return dict(_sum_by_day(_number_days(table[day_column]), hashed))


def _hash_columns(table: pa.Table, names: Sequence[str]) -> Words:
    """Return the sum of the hashes of each row's values."""
    if table.num_rows * len(names) <= _FEW_VALUES:
        return _hash_together(table, names)
    large = table.num_rows > _LARGE
    if large:
        end_turns()
    each = get_pool("hashing", min(4, os.cpu_count() or 1)).map if large else map
    row: Words = np.zeros(table.num_rows, np.uint64)
    for values in each(lambda name: _hash_together(table, [name]), names):
        row += values
    return row


def _hash_together(table: pa.Table, names: Sequence[str]) -> Words:
    """Return the same with all values at once: of few rows, each call takes longer than its work."""
    words: Words = np.empty((len(names), table.num_rows), np.uint64)
    nulls = []
    for at, name in enumerate(names):
        column = join_chunks(table[name])
        np.bitwise_xor(_to_words(column), _hash_name(name), out=words[at])
        if column.null_count:
            nulls.append((at, _mask_nulls(column)))
    hashed = splitmix(words)
    for at, mask in nulls:
        hashed[at, mask] = 0
    total: Words = hashed[0] if len(names) == 1 else hashed.sum(axis=0, dtype=np.uint64)
    return total


def join_chunks(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy if it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _number_days(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    days = join_chunks(column)
    if not pa.types.is_date32(days.type):
        days = days.cast(pa.int32())
    numbers = _view(days, np.dtype(np.int32))
    return np.where(_mask_nulls(days), np.int32(_NO_DAY), numbers) if days.null_count else numbers


def _sum_by_day(days: npt.NDArray[np.int32], hashed: Words) -> Iterator[tuple[dt.date | None, Digest]]:
    changes = days[1:] != days[:-1]
    if (days[1:] < days[:-1]).any():
        order = np.argsort(days, kind="stable")
        days, hashed = days[order], hashed[order]
        changes = days[1:] != days[:-1]
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    counts = np.diff(np.append(starts, len(days)))
    sums = np.add.reduceat(hashed, starts)
    for day, count, total in zip(days[starts].tolist(), counts.tolist(), sums.tolist(), strict=True):
        yield None if day == _NO_DAY else _EPOCH + dt.timedelta(day), Digest(count, total)


def combine_digests(parts: Iterable[Digests]) -> Digests:
    """Return the digests of the union of several sets of rows."""
    result: Digests = {}
    for part in parts:
        for day, digest in part.items():
            result[day] = result.get(day, Digest()) + digest
    return result


def hash_digests(found: Mapping[dt.date | None, Digest]) -> str:
    """Return one hash over all days; days without rows do not count."""
    lines = [f"{day or ''}={found[day].hex}" for day in sorted(found, key=str) if found[day].rows]
    return _hash_to_hex("\n".join(lines))


def _to_words(values: pa.Array) -> Words:
    """Return 64 bits for each value, of nulls any: numbers and times as they are, everything else hashed."""
    kind = values.type
    if (stored := _STORED.get(kind.id)) is not None:
        numbers = _view(values, stored)
        if stored.kind == "f":
            numbers = numbers.astype(np.float64) + 0.0
            numbers[np.isnan(numbers)] = np.nan
            return numbers.view(np.uint64)
        return numbers.astype(np.int64, copy=False).view(np.uint64)
    if pa.types.is_boolean(kind):
        return _to_words(values.cast(pa.int32()))
    if pa.types.is_nested(kind):
        texts = [
            None if v is None else json.dumps(v, sort_keys=True, default=str) for v in values.to_pylist()
        ]
        values = pa.array(texts, pa.large_string())
    elif pa.types.is_decimal(kind):
        values = pc.cast(values, pa.string())
    return _hash_texts(values)


def _view(values: pa.Array, stored: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the stored values of an array without a copy, of nulls any."""
    buffer = values.buffers()[1]
    if buffer is None or not len(values):
        return np.zeros(len(values), stored)
    return np.frombuffer(buffer, stored, len(values), values.offset * stored.itemsize)


def _hash_texts(texts: pa.Array) -> Words:
    """Return the hash of each text: its length, mixed with one word of eight bytes after the other."""
    sample = texts.slice(0, _SAMPLE).dictionary_encode()
    if len(sample.dictionary) < len(sample) // 8:
        coded = sample if len(sample) == len(texts) else texts.dictionary_encode()
        places = coded.indices.fill_null(0).to_numpy()
        if not len(coded.dictionary):
            return np.zeros(len(texts), np.uint64)
        hashed: Words = _hash_each_text(coded.dictionary)[places]
        return hashed
    return _hash_each_text(texts)


def _hash_each_text(texts: pa.Array) -> Words:
    raw = pc.cast(texts, pa.large_binary())
    offsets = np.frombuffer(raw.buffers()[1], "<i8")[raw.offset : raw.offset + len(raw) + 1]
    data = bytes(raw.buffers()[2] or b"") + bytes(8)
    at_each_byte: Words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashed = splitmix(lengths.astype(np.uint64))
    for read in range(0, min(int(lengths.max(initial=0)), _SHORT), 8):
        more = np.flatnonzero(lengths > read)
        surplus = 8 - np.minimum(lengths[more] - read, 8).astype(np.uint64)
        word = at_each_byte[starts[more] + read] & (_ALL_BITS >> (surplus * np.uint64(8)))
        hashed[more] = splitmix(hashed[more] ^ word)
    for long in np.flatnonzero(lengths > _SHORT):
        hashed[long] = int.from_bytes(_hash_bytes(data[offsets[long] : offsets[long + 1]]), "little")
    return hashed


def _mask_nulls(values: pa.Array) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = pc.is_null(values).to_numpy(zero_copy_only=False)
    return mask


def splitmix(words: Words) -> Words:
    """Return the finaliser of splitmix64 of each word (Steele, Lea, Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return words ^ (words >> np.uint64(31))


@lru_cache(4_096)
def _hash_name(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(_hash_bytes(name.encode()), "little"))


def _hash_bytes(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).digest()


def _hash_to_hex(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
