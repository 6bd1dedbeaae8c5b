"""Content hashes: the same rows give the same hash, in any order, whatever library version computed it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from millpond.naming import LINEAGE_COLUMNS

_BITS = 1 << 64
_ALL_BITS = np.uint64(_BITS - 1)
_WORD = pa.uint64()
_SHORT = 64
"""Bytes of the longest text that is hashed in columns, eight bytes of all texts at a time."""
_SAMPLE = 4_096
_LARGE = 20_000
"""Rows from which on several columns are hashed at once."""

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
    row = pa.chunked_array([pa.repeat(pa.scalar(0, _WORD), table.num_rows)])
    each = _get_executor().map if table.num_rows > _LARGE else map
    for values in each(lambda name: _hash_column(name, table[name]), names):
        row = pc.add(row, values)
    day = table[day_column] if day_column else pa.nulls(table.num_rows, pa.date32())
    sums = (
        pa.table({"day": day, "row": _mix(row)})
        .group_by("day")
        .aggregate([("row", "sum"), ([], "count_all")])
    )
    columns = (sums[name].to_pylist() for name in ("day", "count_all", "row_sum"))
    return {day: Digest(count, total) for day, count, total in zip(*columns, strict=True)}


def _hash_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    seed = pa.scalar(int.from_bytes(_hash_bytes(name.encode()), "little"), _WORD)
    value = _mix(pc.bit_wise_xor(_to_words(column), seed))
    return pc.fill_null(value, pa.scalar(0, _WORD))


@cache
def _get_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(4, os.cpu_count() or 1), "hashing")


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


def _to_words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return 64 bits for each value: numbers and times as they are, everything else hashed."""
    kind = column.type
    if pa.types.is_floating(kind):
        number = pc.add(pc.cast(column, pa.float64()), 0.0)
        number = pc.if_else(pc.is_nan(number), float("nan"), number)
        return pa.chunked_array([chunk.view(_WORD) for chunk in number.chunks], _WORD)
    if pa.types.is_date32(kind) or pa.types.is_boolean(kind):
        return pc.cast(pc.cast(column, pa.int32()), _WORD, safe=False)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return pc.cast(pc.cast(column, pa.int64()), _WORD, safe=False)
    if pa.types.is_nested(kind):
        texts = [
            None if v is None else json.dumps(v, sort_keys=True, default=str) for v in column.to_pylist()
        ]
        column = pa.chunked_array([pa.array(texts, pa.large_string())])
    elif pa.types.is_decimal(kind):
        column = pc.cast(column, pa.string())
    return pa.chunked_array([_hash_texts(chunk) for chunk in column.chunks], _WORD)


def _hash_texts(texts: pa.Array) -> pa.Array:
    """Return the hash of each text: its length, mixed with one word of eight bytes after the other."""
    if pc.count_distinct(texts.slice(0, _SAMPLE)).as_py() < min(len(texts), _SAMPLE) // 8:
        coded = texts.dictionary_encode()
        return pc.take(_hash_texts(coded.dictionary), coded.indices)
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
    return pa.array(hashed, _WORD, mask=_mask_nulls(texts))


def _mix(words: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return `splitmix` of each word; null stays null."""
    mixed = [
        pa.array(splitmix(chunk.fill_null(0).to_numpy()), _WORD, mask=_mask_nulls(chunk))
        for chunk in words.chunks
    ]
    return pa.chunked_array(mixed, _WORD)


def _mask_nulls(values: pa.Array) -> npt.NDArray[np.bool_] | None:
    return pc.is_null(values).to_numpy(zero_copy_only=False) if values.null_count else None


def splitmix(words: Words) -> Words:
    """Return the finaliser of splitmix64 of each word (Steele, Lea, Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return words ^ (words >> np.uint64(31))


def _hash_bytes(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).digest()


def _hash_to_hex(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
