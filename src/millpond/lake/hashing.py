"""Content hashes: the same rows give the same hash, in any order, whatever library version computed it."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from millpond.naming import LINEAGE_COLUMNS, literal, quoted

_BITS = 1 << 64
_local = threading.local()


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
        return hashlib.blake2b(f"{self.rows}:{self.total}".encode(), digest_size=16).hexdigest()


Digests = dict[dt.date | None, Digest]
"""Digest per day of the window column; None holds the rows of tables without one."""


def digests(table: pa.Table, day_column: str | None) -> Digests:
    """Return the digest of the rows of each day.

    A row's hash is the MD5 of its columns that are not null, ordered by name, each as name, length and
    canonical text; LINEAGE_COLUMNS do not count. So a new column that is null changes no hash.
    """
    if not table.num_rows:
        return {}
    names = sorted(n for n in table.column_names if n not in LINEAGE_COLUMNS)
    exact = {f"c{i}": _exact(table[name]) for i, name in enumerate(names)}
    day = table[day_column] if day_column else pa.nulls(table.num_rows, pa.date32())
    texts = [_text(f"c{i}", name, exact[f"c{i}"].type) for i, name in enumerate(names)]
    row = f"concat({', '.join(texts)})" if texts else "''"
    rows = _duckdb().from_arrow(pa.table({"day": day, **exact}))
    sql = f"select day, count(*), sum(md5_number_lower({row})) % {_BITS}::hugeint from rows group by day"  # noqa: S608
    found = rows.query("rows", sql).fetchall()
    return {key: Digest(count, int(total) % _BITS) for key, count, total in found}


def combined(parts: Iterable[Digests]) -> Digests:
    """Return the digests of the union of several sets of rows."""
    result: Digests = {}
    for part in parts:
        for day, digest in part.items():
            result[day] = result.get(day, Digest()) + digest
    return result


def overall(found: Mapping[dt.date | None, Digest]) -> str:
    """Return one hash over all days; days without rows do not count."""
    lines = [f"{day or ''}={found[day].hex}" for day in sorted(found, key=str) if found[day].rows]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _exact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in which equal values have one integer or text form, floats by their bits."""
    kind = column.type
    if pa.types.is_floating(kind):
        number = pc.add(pc.cast(column, pa.float64()), 0.0)
        number = pc.if_else(pc.is_nan(number), float("nan"), number)
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in number.chunks], pa.int64())
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
        return pc.cast(column, pa.int64())
    if pa.types.is_date32(kind):
        return pc.cast(column, pa.int32())
    return column


def _text(column: str, name: str, kind: pa.DataType) -> str:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        value = f"hex({column})"
    elif pa.types.is_nested(kind):
        value = f"to_json({column})::varchar"
    else:
        value = f"{column}::varchar"
    shown = f"concat({literal(quoted(name))}, strlen({value}), ':', {value})"
    return f"case when {column} is null then '' else {shown} end"


def _duckdb() -> duckdb.DuckDBPyConnection:
    if not hasattr(_local, "connection"):
        _local.connection = duckdb.connect(
            ":memory:", config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
    connection: duckdb.DuckDBPyConnection = _local.connection
    return connection
