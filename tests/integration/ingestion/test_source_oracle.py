"""Whatever rows a source has and however it pages them, the verdicts equal a plain oracle over all rows."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fake_source import DAY, Entries, FakeSource, fake_source, reading
from millpond.errors import PagingLoop
from millpond.ingestion.rest.placeholders import connection
from millpond.ingestion.rest.reader import RestReader
from millpond.ingestion.retry import Limits
from millpond.ingestion.validation import validate_rows
from millpond.partitions import Window
from millpond.settings import settings
from source_tables import table_of

ZONE = ZoneInfo("Europe/Berlin")
WINDOW = Window.of_days(DAY, DAY + dt.timedelta(2))
MORNING = int(dt.datetime(2026, 10, 31, tzinfo=dt.UTC).timestamp() * 1000)

entry = st.fixed_dictionaries(
    {
        "_id": st.integers(0, 12).map(str),
        "date": st.integers(0, 5 * 24 * 2).map(lambda half_hours: MORNING + half_hours * 1_800_000),
        "lux": st.sampled_from([90, 91, "LOW", 5000]),
        "sysTime": st.integers(0, 3).map(lambda n: f"2026-11-20T00:00:0{n}Z"),
    }
)


def oracle(rows: list[dict[str, Any]]) -> tuple[dict[dt.date, Counter[str]], set[tuple[dt.date, str, Any]]]:
    """Return per day how many rows are good, bad, duplicate; and (day, key, value) of the good ones."""
    versions: dict[tuple[dt.date, str], list[dict[str, Any]]] = {}
    for row in rows:
        day = dt.datetime.fromtimestamp(row["date"] / 1000, ZONE).date()
        if day in WINDOW:
            versions.setdefault((day, row["_id"]), []).append(row)
    counts: dict[dt.date, Counter[str]] = {day: Counter() for day in WINDOW.days}
    good = set()
    for (day, key), found in versions.items():
        latest = max(found, key=lambda row: (row["sysTime"], row["date"]))
        counts[day]["duplicate"] += len(found) - 1
        fine = isinstance(latest["lux"], int) and latest["lux"] <= 1000
        counts[day]["good" if fine else "bad"] += 1
        if fine:
            good.add((day, key, latest["lux"]))
    return counts, good


@pytest.fixture(scope="module")
def source() -> Any:
    with fake_source() as server:
        yield server


@examples(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(entry, max_size=40, unique_by=lambda row: (row["_id"], row["sysTime"], row["date"])),
    size=st.integers(2, 9),
    piece_days=st.integers(1, 3),
    order=st.randoms(use_true_random=False),
)
def test_no_row_is_lost_doubled_or_judged_differently(
    source: FakeSource, rows: list[dict[str, Any]], size: int, piece_days: int, order: Any
) -> None:
    rows = [reading(0, **row) for row in rows]
    order.shuffle(rows)
    source.serve = Entries(rows)
    spec, table = table_of("climate_entries")
    assert table.page
    table = table.model_copy(
        update={
            "page": table.page.model_copy(update={"size": size}),
            "window": table.window.model_copy(update={"piece_days": piece_days}),
        }
    )
    reader = RestReader(spec, table, connection(source.url, None, None), Limits.of(settings()), ZONE)
    with tempfile.TemporaryDirectory() as folder:
        fetched = reader.fetch(WINDOW, ZONE, Path(folder))
        if fetched.failed:
            assert {type(error) for error in fetched.failed.values()} == {PagingLoop}
            assert max(Counter(row["date"] for row in rows).values()) >= size
            return
        with validate_rows(table, fetched, WINDOW, ZONE, {}, Path(folder) / "judged") as verdicts:
            found = verdicts.good(WINDOW, "run", dt.datetime.now(dt.UTC)).to_pylist()
            counts = verdicts.counts
    expected, good = oracle(rows)
    assert {(r["_partition_date"], r["_id"], r["lux"]) for r in found} == good
    assert len(found) == len(good)
    assert {day: (c.good, c.bad, c.duplicate, c.outside) for day, c in counts.items()} == {
        day: (c["good"], c["bad"], c["duplicate"], 0) for day, c in expected.items()
    }
