"""What the expressions are computed from: one table for each kind of value, edge cases first."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US = dt.timedelta(microseconds=1)
_CHANGES = [  # when clocks changed: Berlin, Lord Howe (by half an hour), Apia (by a day)
    dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 25, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 4, 4, 15, tzinfo=dt.UTC),
    dt.datetime(2011, 12, 30, 10, tzinfo=dt.UTC),
]
_INSTANTS = [
    *(_EPOCH + micros * _US for micros in (-1_000_001, -1_000, -999, -500, -1, 0, 1, 499, 500, 999, 1_500)),
    *(change + shift for change in _CHANGES for shift in (-_US, 0 * _US, dt.timedelta(minutes=30))),
    dt.datetime(1900, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2000, 2, 29, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=dt.UTC),
    dt.datetime(2049, 12, 31, 23, 59, 59, 999_500, tzinfo=dt.UTC),
    None,
]
_INTEGERS = [7, -7, 2, -2, 0, 1, 3, 2**31, -(2**31) - 1, 10**15, None]
_DOUBLES = [
    *(0.0, -0.0, 0.05, 0.15, 0.25, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1.005, 0.285, 1.45, 99.95, -0.04),
    *(1 / 3, 1e-12, 123456789.987654321, 1e15 + 0.5, 1e300, math.inf, -math.inf, math.nan, None),
]
_DECIMALS = [Decimal(text) for text in ("0", "0.0050", "-0.0050", "1.2345", "-7.5000", "99999.9999")] + [None]
_TEXTS = [
    *("", " ", "a", "A", "a ", "ä", "a\u0308", "ß", "İ", "😀", "😀a", "漢字", "a'b", 'a"b', "a%b", "a_b"),
    *(
        "PullRequestEvent",
        "pullrequest",
        "Issue",
        "IssueX",
        "PushEvent",
        "line\nbreak",
        "tab\t",
        "null",
        None,
    ),
]


def tables() -> dict[str, pa.Table]:
    """Return the table of each kind of input by its name."""
    days = [dt.date(year, 12, 25) + dt.timedelta(n) for year in range(1999, 2050) for n in range(14)]
    days += [dt.date(2024, 2, 29), dt.date(2100, 2, 28), dt.date(1969, 12, 31), dt.date(1900, 1, 1)]
    instants = list(zip(_INSTANTS, [*_INSTANTS[1:], _INSTANTS[0]], strict=True))
    return {
        "instants": instants_table(instants),
        "dates": dates_table(zip(days, [*days[7:], *days[:7]], range(len(days)), strict=True)),
        "numbers": numbers_table(
            [(a, b, None, None, None, None) for a in _INTEGERS for b in _INTEGERS]
            + [(None, None, x, y, None, None) for x in _DOUBLES for y in (1.0, -2.5, None)]
            + [(None, None, None, None, d, e) for d in _DECIMALS for e in _DECIMALS]
        ),
        "texts": texts_table((s, t) for s in _TEXTS for t in ("", "b", None)),
        "samples": samples_table(
            [
                [None],
                [None, None],
                [100],
                [100, None],
                [100, 101],
                [101, 100],
                [5, 5, 5, 5],
                [1, 2, 3],
                [1, 2, 3, 4],
                [3, 1, 4, 1, 5, 9, 2, 6],
                [-1, -2, -3],
                list(range(288)),
                [40, 400] * 50,
            ]
        ),
    }


def instants_table(rows: Iterable[tuple[dt.datetime | None, dt.datetime | None]]) -> pa.Table:
    """Return pairs of instants, each with the whole milliseconds of the first."""
    stated = [(a, b, None if a is None else (a - _EPOCH) // dt.timedelta(milliseconds=1)) for a, b in rows]
    kinds = {"moment": pa.timestamp("us", "UTC"), "later": pa.timestamp("us", "UTC"), "ms": pa.int64()}
    return _table(kinds, stated)


def dates_table(rows: Iterable[tuple[Any, Any, Any]]) -> pa.Table:
    """Return dates with another date and a number of days each."""
    return _table({"day": pa.date32(), "other": pa.date32(), "n": pa.int64()}, rows)


def numbers_table(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Return pairs of integers, of doubles and of decimals."""
    kinds = {"a": pa.int64(), "b": pa.int64(), "x": pa.float64(), "y": pa.float64()}
    return _table(kinds | {"d": pa.decimal128(18, 4), "e": pa.decimal128(18, 4)}, rows)


def texts_table(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Return pairs of texts."""
    return _table({"s": pa.string(), "t": pa.string()}, rows)


def samples_table(groups: Iterable[Iterable[int | None]]) -> pa.Table:
    """Return a row for each value of each group; `g` numbers the groups."""
    rows = [
        (number, value, None if value is None else float(value), None if value is None else value % 2 == 0)
        for number, group in enumerate(groups)
        for value in group
    ]
    return _table({"g": pa.int64(), "v": pa.int64(), "x": pa.float64(), "even": pa.bool_()}, rows)


def _table(kinds: dict[str, pa.DataType], rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    numbered = [(number, *row) for number, row in enumerate(rows)]
    schema = pa.schema({"id": pa.int64(), **kinds})
    columns = list(zip(*numbered, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
