"""Content hashes: equal exactly for equal rows, whatever their order, batches or column order."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.lake.hashing import combine_digests, compute_digests, hash_digests

_ROW = st.tuples(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.text(max_size=5), st.text("ab", min_size=6, max_size=70)),
    st.one_of(st.none(), st.floats()),
    st.sampled_from([dt.date(2026, 1, 1), dt.date(2026, 1, 2)]),
)
_SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string()), ("f", pa.float64()), ("day", pa.date32())])


def _table(rows: list[Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)


def _hash(table: pa.Table) -> str:
    return hash_digests(compute_digests(table, "day"))


def _canonical(row: tuple[Any, ...]) -> tuple[Any, ...]:
    n, t, f, day = row
    return n, t, "nan" if f is not None and math.isnan(f) else f, day


@given(st.lists(_ROW, max_size=8), st.randoms())
def test_order_and_batches_do_not_matter(rows: list[Any], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    cut = random.randint(0, len(rows))
    parts = combine_digests(compute_digests(_table(part), "day") for part in (shuffled[:cut], shuffled[cut:]))
    assert hash_digests(parts) == _hash(_table(rows))


@given(st.lists(_ROW, max_size=4), st.lists(_ROW, max_size=4))
def test_hashes_are_equal_exactly_for_equal_rows(one: list[Any], other: list[Any]) -> None:
    same = sorted(map(repr, map(_canonical, one))) == sorted(map(repr, map(_canonical, other)))
    minus_zero = any(row[2] == 0 and row[2] is not None for row in one + other)
    if not minus_zero:
        assert (_hash(_table(one)) == _hash(_table(other))) == same


@given(st.lists(st.one_of(st.none(), st.binary(max_size=9), st.binary(min_size=55, max_size=73)), max_size=9))
def test_a_text_has_its_hash_wherever_it_stands(texts: list[bytes | None]) -> None:
    column = pa.table({"raw": pa.array(texts, pa.binary())})
    alone = [
        hash_digests(compute_digests(pa.table({"raw": pa.array([text], pa.binary())}), None))
        for text in texts
    ]
    assert [hash_digests(compute_digests(column.slice(n, 1), None)) for n in range(len(texts))] == alone
    assert len(set(alone)) == len(set(texts))


def test_the_hash_is_the_same_for_ever() -> None:
    table = pa.table(
        {
            "day": pa.array([dt.date(2026, 1, 1)] * 2),
            "text": ["a", None],
            "long": [1, -1],
            "double": [0.5, math.nan],
            "flag": [True, None],
            "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
            "amount": pa.array([1, None], pa.decimal128(9, 2)),
            "raw": pa.array([b"\x00", None]),
            "list": [[1, 2], None],
            "struct": [{"b": 1, "a": None}, None],
        }
    )
    assert _hash(table) == "f3179df1992689a52480bf02c6ea0639"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": pa.array([1], pa.int32())}, {"a": pa.array([1], pa.int64())}),
        ({"a": pa.array([0.1], pa.float32())}, {"a": pa.array([pa.scalar(0.1, pa.float32()).as_py()])}),
        ({"a": pa.array(["x"])}, {"a": pa.array(["x"], pa.large_string())}),
        ({"a": pa.array(["x"])}, {"a": pa.array(["x"]).dictionary_encode().cast(pa.string())}),
        ({"a": pa.array([0.0])}, {"a": pa.array([-0.0])}),
        ({"a": pa.array([1])}, {"a": pa.array([1]), "new": pa.array([None], pa.string())}),
        ({"a": pa.array([1]), "b": pa.array([2])}, {"b": pa.array([2]), "a": pa.array([1])}),
        ({"a": pa.array([1])}, {"a": pa.array([1]), "_run_id": pa.array(["r"])}),
    ],
    ids=["int", "float", "large text", "coded text", "zero", "null column", "column order", "lineage"],
)
def test_what_is_no_content_changes_no_hash(one: dict[str, pa.Array], other: dict[str, pa.Array]) -> None:
    assert hash_digests(compute_digests(pa.table(one), None)) == hash_digests(
        compute_digests(pa.table(other), None)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": ["x"], "b": ["y"]}, {"a": ["y"], "b": ["x"]}),
        ({"a": ["1"]}, {"a": [1]}),
        ({"a": [""]}, {"a": pa.array([None], pa.string())}),
        ({"a": ["x", "x"]}, {"a": ["x"]}),
        ({"a": [1, 2], "b": [1, 2]}, {"a": [1, 2], "b": [2, 1]}),
    ],
    ids=["swapped columns", "type", "empty is not null", "twice", "other pairs"],
)
def test_what_is_content_changes_the_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert hash_digests(compute_digests(pa.table(one), None)) != hash_digests(
        compute_digests(pa.table(other), None)
    )


def test_a_row_that_moves_to_another_day_changes_the_hash() -> None:
    row = (1, "x", 0.5)
    one, other = (_table([(*row, dt.date(2026, 1, n))]) for n in (1, 2))
    assert hash_digests(
        compute_digests(one.rename_columns(["n", "t", "f", "_partition_date"]), "_partition_date")
    ) != hash_digests(
        compute_digests(other.rename_columns(["n", "t", "f", "_partition_date"]), "_partition_date")
    )
