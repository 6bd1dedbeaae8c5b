"""Rows of a size that nobody expects: kept aside or cut down, in bounded memory, and the day loads."""

from __future__ import annotations

import resource
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from fake_source import DAY, GOOD, Entries, FakeSource, reading
from millpond.ingestion.schema import MOST_ADDED
from millpond.lake import read
from millpond.settings import Settings
from processes import FORKED, start
from source_tables import load_days, quarantined, raw

TEXT_MB, FIELDS, KEYS = 50, 5_000, 1_000_000


def load_and_measure(said: Connection) -> None:
    """Load the day; say why it failed, if so, and by how many MB the memory grew."""
    before = measure_peak()
    failed = load_days(DAY).failed
    said.send(([str(error) for error in failed.values()], measure_peak() - before))


def measure_peak() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load() -> tuple[list[str], float]:
    ours, theirs = FORKED.Pipe()
    process = start(load_and_measure, theirs)
    answer: tuple[list[str], float] = ours.recv()
    process.join()
    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (reading(0, device="x" * TEXT_MB * 1_000_000), False),
        (reading(0, **{f"field_{n}": n for n in range(FIELDS)}), True),
        (reading(0, **{f"k{n}": 1 for n in range(KEYS)}), False),
    ],
    ids=["a text of 50 MB", "5,000 fields", "a million keys"],
)
def test_a_huge_row_costs_neither_the_day_nor_the_memory(
    server: FakeSource,
    configure: Callable[..., Settings],
    row: dict[str, object],
    kept: bool,
    record_property: Callable[[str, str], None],
) -> None:
    configure(request_budget_seconds=60, request_timeout_seconds=30)
    server.serve = Entries([*GOOD, row])
    failed, grown = load()
    assert failed == []
    assert len(raw()) == len(GOOD) + kept
    assert len(quarantined("reason")) == (not kept)
    columns = read.load_table("main", "raw.climate_entries").schema().column_names
    assert len(columns) < 50 + MOST_ADDED
    record_property("seen", f"{len(raw())} rows loaded, {not kept:d} quarantined, {grown:.0f} MB more memory")
    assert grown < 1_500
