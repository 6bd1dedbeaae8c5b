"""Files become rows of the lake, whatever they are written as, and a load says what it could not take."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
from file_sources import DAY, NEXT, Drop, bad_sales, sales

from millpond.errors import FilesMissing

HEAD = "id,at,amount,note\n"


def test_a_csv_file_of_a_day_becomes_that_day(drop: Drop) -> None:
    drop.put(
        "sales_2026-01-05.csv", HEAD + '1,2026-01-05T10:00:00Z,1.10,"a, ""b""\nc"\n2,2026-01-05T11:00:00Z,,\n'
    )
    loaded = drop.load(drop.spec("sales_{date}.csv"))
    assert not loaded.failed
    assert sales("id", "amount", "note") == [
        {"id": 1, "amount": Decimal("1.10"), "note": 'a, "b"\nc'},
        {"id": 2, "amount": None, "note": None},
    ]


def test_a_field_that_the_spec_does_not_name_becomes_a_text_column_as_it_is(drop: Drop) -> None:
    drop.put("sales_2026-01-05.csv", "id,at,price\n1,2026-01-05T10:00:00Z,1.10\n")
    assert not drop.load(drop.spec("sales_{date}.csv")).failed
    assert sales("price") == ["1.10"]


def test_lines_that_are_no_row_are_kept_with_the_reason(drop: Drop) -> None:
    rows = "".join(f"{n},2026-01-05T10:00:00Z,1.5,x\n" for n in range(20))
    drop.put(
        "sales_2026-01-05.csv", HEAD + rows + '90,2026\n91,2026-01-05T10:00:00Z,1,"never\n92,a,b,c,d\n' + rows
    )
    loaded = drop.load(drop.spec("sales_{date}.csv"))
    assert not loaded.failed
    assert len(sales("id")) == 20
    assert [(row["payload"], row["reason"]) for row in bad_sales("payload", "reason")] == [
        ("90,2026", "row has 2 fields, not 4"),
        ('91,2026-01-05T10:00:00Z,1,"never', "row has a quote that is not closed"),
        ("92,a,b,c,d", "row has 5 fields, not 4"),
    ]


def test_json_lines_are_rows_and_lines_that_are_none_are_kept(drop: Drop) -> None:
    good = "".join(f'{{"id": {n}, "at": "2026-01-05T10:00:00Z", "extra": [1]}}\n' for n in range(20))
    drop.put("sales_2026-01-05.jsonl", good.encode() + b'{"id": 7\n{"id": 8, "note": "\xff"}\n\n')
    assert not drop.load(drop.spec("sales_{date}.jsonl")).failed
    assert len(sales("id")) == 20
    assert sales("extra")[0] == "[1]"
    assert [row["reason"] for row in bad_sales("reason", "payload")] == [
        "row is not valid JSON",
        "row is not utf-8",
    ]


def test_parquet_values_keep_their_types(drop: Drop) -> None:
    at = dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC)
    rows = {"id": [1], "at": [at], "amount": [Decimal("0.10")], "note": ["n"], "more": [3]}
    pq.write_table(pa.table(rows), drop.folder / "sales.parquet")
    assert not drop.load(drop.spec("*.parquet")).failed
    assert sales("id", "at", "amount", "more") == [{"id": 1, "at": at, "amount": Decimal("0.10"), "more": 3}]


def test_a_day_without_a_file_fails_and_is_not_empty(drop: Drop) -> None:
    drop.put("sales_2026-01-05.csv", HEAD + "1,2026-01-05T10:00:00Z,1,\n")
    loaded = drop.load(drop.spec("sales_{date}.csv"), DAY, NEXT)
    assert isinstance(loaded.failed[NEXT], FilesMissing)
    assert "sales_2026-01-06.csv" in str(loaded.failed[NEXT])
    assert sales("id") == [1]
    allowed = drop.spec("sales_{date}.csv", table={"allow_empty": True})
    assert not drop.load(allowed, DAY, NEXT).failed
