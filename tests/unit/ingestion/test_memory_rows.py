"""Staged rows that stay in memory become the very rows that they become through files."""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millpond.errors import RowsUnaccounted
from millpond.ingestion import batches
from millpond.ingestion.batches import BROKEN, LINE, StagedBatches
from millpond.ingestion.memory_rows import append_columns
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts
from millpond.ingestion.validation import validate_rows
from millpond.partitions import Window

DAY = dt.date(2026, 11, 1)
WINDOW = Window.of_days(DAY, DAY + dt.timedelta(1))
SPEC: dict[str, Any] = {
    "name": "things",
    "key": ["id"],
    "event_time": {"column": "at"},
    "files": {"path": "*.parquet"},
    "quarantine": {"fail_above": 1},
    "columns": {
        "id": {"type": "string"},
        "at": {"type": "timestamp"},
        "whole": {"type": "int", "optional": True, "max": 1000},
        "strict": {"type": "int", "optional": True, "on_bad": "quarantine"},
        "rounded": {"type": "int", "optional": True, "round": "nearest"},
        "number": {"type": "number", "optional": True, "no_value": {"values": [-1, "n/a"]}},
        "amount": {"type": "decimal(10,2)", "optional": True},
        "text": {"type": "string", "optional": True},
        "same": {"type": "string", "optional": True},
        "flag": {"type": "bool", "optional": True},
        "day": {"type": "date", "optional": True},
        "moment": {"type": "timestamp", "optional": True},
        "other": {"type": "json", "optional": True},
    },
}
EXAMPLES = 60
Result = tuple[list[Any], list[Any], dict[dt.date, Counts], dict[int, set[dt.date | None]], int]

NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.decimals(-1000, 1000, places=3).map(str),
    st.text("0123456789+-.,/eEx_ ", max_size=6),
    st.sampled_from(["", " 1", "1 ", "007", "-0", "-0.0", "5.", ".5", "+5", "0x1F", "1_000", "1e3", "inf"]),
    st.sampled_from(["9223372036854775807", "9223372036854775808", "9007199254740993", "1" * 400, "n/a"]),
)
DIGITS = st.integers(-2000, 2000).map(str)
INSIDE = st.datetimes(dt.datetime(2026, 11, 1), dt.datetime(2026, 11, 2, 23))
TIMES = st.one_of(INSIDE, INSIDE, INSIDE, st.datetimes(dt.datetime(2026, 10, 31), dt.datetime(2026, 11, 4)))
TEXTS = st.text(max_size=4)
TYPED: dict[str, list[tuple[pa.DataType, st.SearchStrategy[Any]]]] = {
    "id": [(pa.string(), st.sampled_from("abcdefgh")), (pa.int32(), st.integers(0, 9))],
    "at": [
        (pa.timestamp("us"), TIMES),
        (pa.timestamp("us", "Europe/Berlin"), TIMES.map(lambda at: at.replace(tzinfo=dt.UTC))),
        (pa.timestamp("ns"), TIMES),
        (pa.timestamp("ms"), TIMES),
        (pa.date32(), TIMES.map(dt.datetime.date)),
        (pa.string(), st.one_of(TIMES.map(dt.datetime.isoformat), TEXTS)),
    ],
    "whole": [
        (pa.string(), NUMBERS),
        (pa.string(), DIGITS),
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float64(), st.floats()),
    ],
    "number": [
        (pa.string(), NUMBERS),
        (pa.string(), DIGITS),
        (pa.float32(), st.floats(width=32)),
        (pa.float64(), st.floats(-1e9, 1e9)),
        (pa.int16(), st.integers(-999, 999)),
        (pa.decimal128(12, 3), st.decimals(-1000, 1000, places=3).map(Decimal)),
    ],
    "strict": [(pa.string(), NUMBERS), (pa.string(), DIGITS), (pa.int8(), st.integers(-9, 9))],
    "rounded": [(pa.string(), NUMBERS), (pa.string(), DIGITS), (pa.float64(), st.floats(-9, 9))],
    "amount": [
        (pa.string(), NUMBERS),
        (pa.decimal128(12, 3), st.decimals(-99, 99, places=3)),
        (pa.int8(), st.just(1)),
    ],
    "same": [(pa.string(), DIGITS), (pa.int64(), st.integers(-9, 9)), (pa.bool_(), st.booleans())],
    "text": [(pa.string(), TEXTS), (pa.large_string(), TEXTS), (pa.binary(), st.binary(max_size=3))],
    "flag": [(pa.bool_(), st.booleans()), (pa.string(), st.sampled_from(["true", "no", "t", ""]))],
    "day": [(pa.date32(), st.dates()), (pa.string(), st.sampled_from(["2026-11-01", "x", "2026-11-01x"]))],
    "moment": [(pa.timestamp("us"), st.datetimes()), (pa.string(), TIMES.map(dt.datetime.isoformat))],
    "other": [
        (pa.string(), TEXTS),
        (pa.string(), st.just("{}")),
        (pa.list_(pa.int8()), st.lists(st.integers(0, 9), max_size=2)),
    ],
}


@st.composite
def tables(draw: st.DrawFn) -> list[pa.Table]:
    """Return batches of one type or of several; values may be missing."""
    found = []
    plain = draw(st.booleans())
    kinds = {name: draw(st.sampled_from(choices)) for name, choices in TYPED.items()}
    for _ in range(draw(st.integers(1, 2))):
        rows = draw(st.integers(0, 5))
        columns = {}
        for name, (kind, values) in kinds.items():
            if name not in {"id", "at"} and draw(st.booleans()):
                values = st.one_of(st.none(), values)
            columns[name] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)
        if not plain and draw(st.booleans()):
            columns.pop(draw(st.sampled_from(["text", "flag", "whole"])), None)
        found.append(pa.table(columns))
    return found


def judge(given: list[pa.Table], memory: int, marked: bool = False) -> Result:
    """Return the good rows, the bad ones and the counts, if so many bytes stay in memory."""
    spec, now = SourceTable.model_validate(SPEC), dt.datetime.now(dt.UTC)
    with tempfile.TemporaryDirectory() as name, patch.object(batches, "MEMORY", memory):
        staged = StagedBatches(Path(name))
        staged.take([lambda: iter(given)], 1)
        assert memory > 0 or staged.held is None
        fetched = FetchResult(
            staged.files,
            staged.rows,
            staged.pages,
            [DAY],
            names=staged.names,
            may_hold_nul=staged.may_hold_nul,
            held=staged.held,
            other_days=True,
            spans=[Window(WINDOW.start - dt.timedelta(1), WINDOW.end + dt.timedelta(1))],
            marked=marked,
        )
        with validate_rows(spec, fetched, WINDOW, ZoneInfo("UTC"), {}, Path(name) / "judged") as found:
            good, bad = (part(WINDOW, "run", now) for part in (found.good, found.bad))
            assert isinstance(good, pa.Table)
            assert isinstance(bad, pa.Table)
            counts = {day: each for day, each in found.counts.items() if each.rows}
            assert sum(each.rows for each in counts.values()) + found.of_other_days == staged.rows
            return (_sort(good), _sort(bad), counts, fetched.stream_days, found.of_other_days)


def _sort(rows: pa.Table) -> list[Any]:
    types = [(field.name, field.type) for field in rows.schema]
    columns = [name for name in rows.column_names if name != "_loaded_at"]
    return [types, sorted(map(repr, rows.select(columns).to_pylist()))]


@settings(max_examples=EXAMPLES, deadline=None)
@given(rows=tables())
def test_rows_in_memory_are_judged_as_those_of_files_are(rows: list[pa.Table]) -> None:
    assert judge(rows, 1 << 20) == judge(rows, -1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    times=st.lists(st.one_of(INSIDE, TIMES), max_size=6),
    again=st.booleans(),
    value=st.one_of(st.none(), st.integers(-9, 1001)),
)
def test_rows_of_which_each_is_good_are_counted_as_those_of_files_are(
    times: list[dt.datetime], again: bool, value: int | None
) -> None:
    batch = pa.table(
        {
            "id": pa.array(map(str, range(len(times))), pa.string()),
            "at": pa.array(times, pa.timestamp("us")),
            "whole": pa.array([value] * len(times), pa.int64()),
        }
    )
    rows = [batch, batch] if again else [batch]
    assert judge(rows, 1 << 20) == judge(rows, -1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    texts=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4),
    broken=st.sets(st.integers(0, 3)),
)
@example(texts=[("1", "2.5"), ("-0", "-0.0"), ("9223372036854775807", "9007199254740993")], broken=set())
@example(texts=[("1", "2.5"), ("1.0", "1e3")], broken=set())
def test_texts_are_the_same_numbers_whoever_casts_them(
    texts: list[tuple[str, str]], broken: set[int]
) -> None:
    columns = {
        "id": [str(n) for n, _ in enumerate(texts)],
        "at": [f"2026-11-01T12:00:0{n}" for n, _ in enumerate(texts)],
        "whole": [whole for whole, _ in texts],
        "strict": [whole for whole, _ in texts],
        "rounded": [number for _, number in texts],
        "number": [number for _, number in texts],
        LINE: [f"line {n}" if n in broken else None for n, _ in enumerate(texts)],
        BROKEN: ["row is no row" if n in broken else None for n, _ in enumerate(texts)],
    }
    rows = [pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})]
    assert judge(rows, 1 << 20, marked=True) == judge(rows, -1, marked=True)


def test_rows_beyond_what_stays_in_memory_are_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MEMORY", 1000)
    few, many = (pa.table({"id": pa.array(range(n), pa.int64())}) for n in (10, 100))
    streams = [lambda: iter([few, many]), lambda: iter([few])]
    staged = StagedBatches(tmp_path)
    staged.take(streams, 2)
    assert staged.held is None
    assert sum(pa.parquet.read_table(file).num_rows for file in staged.files) == staged.rows == 120
    in_memory = StagedBatches(tmp_path)
    in_memory.take([lambda: iter([few]), lambda: iter([few])], 2)
    assert (in_memory.files, len(in_memory.held or ())) == ([], 20)


def test_a_text_that_is_no_text_is_no_row_in_memory(tmp_path: Path) -> None:
    wrong = pa.StringArray.from_buffers(1, *pa.array([b"\xff"]).buffers()[1:])
    staged = StagedBatches(tmp_path)
    staged.take([lambda: iter([pa.table({"id": wrong})])], 1)
    assert staged.held is None
    assert len(staged.files) == 1


def test_values_of_other_rows_are_noticed() -> None:
    rows, other = (pa.table({"_seq": order, "a": [1, 2]}) for order in ([0, 1], [1, 0]))
    with pytest.raises(RowsUnaccounted, match="in order"):
        append_columns(rows, other)
