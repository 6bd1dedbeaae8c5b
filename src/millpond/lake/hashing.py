"""Content hashes: the same rows give the same hash, in any order, whatever library version computed it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from millpond.lake.pools import get_pool
from millpond.lake.turns import end_turns
from millpond.naming import LINEAGE_COLUMNS

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
    large = table.num_rows > _LARGE
    if large:
        end_turns()
    each = get_pool("hashing", min(4, os.cpu_count() or 1)).map if large else map
    row: Words = np.zeros(table.num_rows, np.uint64)
    for values in each(lambda name: _hash_column(name, table[name]), names):
        row += values
    hashed = splitmix(row)
    if not day_column:
        return {None: Digest(len(hashed), int(hashed.sum()))}
    return dict(_sum_by_day(pc.fill_null(table[day_column].cast(pa.int32()), _NO_DAY).to_numpy(), hashed))


def _sum_by_day(days: npt.NDArray[np.int32], hashed: Words) -> Iterator[tuple[dt.date | None, Digest]]:
    if (days[1:] < days[:-1]).any():
        order = np.argsort(days, kind="stable")
        days, hashed = days[order], hashed[order]
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    counts = np.diff(starts, append=len(days))
    sums = np.add.reduceat(hashed, starts)
    for day, count, total in zip(days[starts].tolist(), counts.tolist(), sums.tolist(), strict=True):
        yield None if day == _NO_DAY else _EPOCH + dt.timedelta(day), Digest(count, total)


def _hash_column(name: str, column: pa.ChunkedArray) -> Words:
    seed = _hash_name(name)
    parts = []
    for chunk in column.chunks:
        hashed = splitmix(_to_words(chunk) ^ seed)
        if chunk.null_count:
            hashed[_mask_nulls(chunk)] = 0
        parts.append(hashed)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
    if pa.types.is_floating(kind):
        number = pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False) + 0.0
        number[np.isnan(number)] = np.nan
        words: Words = number.view(np.uint64)
        return words
    if pa.types.is_date32(kind) or pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int32())
    if pa.types.is_integer(values.type) or pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        whole = pc.cast(values, pa.int64())
        whole = whole.fill_null(0) if whole.null_count else whole
        words = whole.to_numpy().view(np.uint64)
        return words  # noqa: RET504 - NumPy says Any
    if pa.types.is_nested(kind):
        texts = [
            None if v is None else json.dumps(v, sort_keys=True, default=str) for v in values.to_pylist()
        ]
        values = pa.array(texts, pa.large_string())
    elif pa.types.is_decimal(kind):
        values = pc.cast(values, pa.string())
    return _hash_texts(values)


def _hash_texts(texts: pa.Array) -> Words:
    """Return the hash of each text: its length, mixed with one word of eight bytes after the other."""
    sample = texts.slice(0, _SAMPLE).dictionary_encode()
    if len(sample.dictionary) < len(sample) // 8:
        coded = sample if len(sample) == len(texts) else texts.dictionary_encode()
        places = coded.indices.fill_null(0).to_numpy()
        return (
            _hash_texts(coded.dictionary)[places]
            if len(coded.dictionary)
            else np.zeros(len(texts), np.uint64)
        )
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
