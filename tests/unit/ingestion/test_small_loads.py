"""Few rows are validated in a DuckDB that small loads share and that plans less: the outcome is the same."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.ingestion import connection
from millpond.ingestion.connection import has_few_rows
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.schema import lake_tables
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.unreadable_times import find_uncertain_days
from millpond.ingestion.validation import validate_rows
from millpond.partitions import Window

FIRST = dt.date(2026, 11, 1)
WINDOW = Window.of_days(FIRST, FIRST + dt.timedelta(1))
VALUES = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from(["7", "x", "", "1.5", "n/a", "\0", "[1]"]))
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from("abcd")},
        optional={
            "at": st.sampled_from(
                ["2026-10-30", "2026-11-01T12:00:00Z", "2026-11-02T01:00:00Z", "2026-11-03", "never", None]
            ),
            "kind": st.sampled_from(["a", "b", ["c"]]),
            **dict.fromkeys(("whole", "number", "text", "other"), VALUES),
        },
    ),
    max_size=8,
)
TEXTS = st.lists(st.sampled_from(["{", "[]", '{"id": "a"']), max_size=2)


SPEC: dict[str, Any] = {
    "name": "things",
    "key": ["id"],
    "event_time": {"column": "at", "unit": "iso"},
    "endpoint": {"path": "things"},
    "window": {"reach": {"rows": 10, "days": 10}},
    "columns": {
        "id": {},
        "at": {"type": "timestamp"},
        "kind": {"allowed": ["a", "b"]},
        "whole": {"type": "int", "min": -2, "no_value": ["n/a"], "required_when": "kind = 'a'"},
        "number": {"type": "number", "max": 3, "on_bad": "quarantine", "optional": True},
        "text": {"optional": True},
    },
    "quarantine": {"fail_above": 1},
}


def judge(spec: SourceTable, texts: list[str], *, few: bool) -> list[Any]:
    """Return all that is known of the rows, validated as few ones or as many."""
    now = dt.datetime(2026, 11, 3, tzinfo=dt.UTC)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(connection, "FEW_ROWS", 5_000 if few else -1),
    ):
        file = Path(folder) / "rows.parquet"
        rows = {PAYLOAD: pa.array(texts, pa.string()), "_seq": pa.array(range(len(texts)), pa.int64())}
        pq.write_table(pa.table(rows), file)
        fetched = FetchResult([file], len(texts), 1, [FIRST])
        assert has_few_rows(fetched) == few
        with validate_rows(spec, fetched, WINDOW, ZoneInfo("UTC"), {}, Path(folder) / "judged") as found:
            parts = [found.good(WINDOW, "run", now), found.bad(WINDOW, "run", now)]
            parts.append(found.every(WINDOW, {FIRST: "why"}, "here", "run", now))
            tables = [part for part in parts if isinstance(part, pa.Table)]
            assert len(tables) == len(parts)
            uncertain = {day: str(error) for day, error in find_uncertain_days(spec, found, "main").items()}
            values = [sorted(map(repr, each.to_pylist())) for each in tables]
            return [values, [each.schema for each in tables], found.counts, uncertain]


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, broken=TEXTS, unknown=st.sampled_from(["ignore", "quarantine"]))
def test_few_rows_are_judged_as_many_are(rows: list[dict[str, Any]], broken: list[str], unknown: str) -> None:
    spec = SourceTable.model_validate({**SPEC, "unknown_columns": unknown})
    texts = [*map(json.dumps, rows), *broken]
    assert judge(spec, texts, few=True) == judge(spec, texts, few=False)


def test_where_no_row_is_bad_the_columns_are_those_of_the_quarantine() -> None:
    spec = SourceTable.model_validate(SPEC)
    good, broken = ({"id": "a", "at": "2026-11-01", "kind": kind, "whole": 1} for kind in "bc")
    (_, with_none, *_), (_, with_one, *_) = (
        judge(spec, [json.dumps(row)], few=True) for row in (good, broken)
    )
    assert with_none[1] == with_one[1] == lake_tables(spec)[1].schema


def test_loads_share_a_connection_and_no_tables() -> None:
    spec = SourceTable.model_validate(SPEC)
    rows = [json.dumps({"id": "a", "at": "2026-11-01", "kind": "a", "whole": n}) for n in range(2)]
    assert [judge(spec, rows, few=True)[2][FIRST].duplicate for _ in range(3)] == [1, 1, 1]
