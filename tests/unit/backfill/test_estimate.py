"""An estimate repeats what runs took, and is none where nothing ever ran."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.backfill.history import PastRun, Share, estimate, fit_rate
from millpond.backfill.plan import Chunk
from millpond.partitions import Window

FIRST = dt.date(2026, 1, 1)


def run(days: int, *, per_run: float, per_day: float, around: float) -> PastRun:
    seconds = per_run + per_day * days
    return PastRun(seconds + around, (Share("raw", seconds, days),))


def chunk(days: int) -> Chunk:
    return Chunk(1, ("raw",), Window.of_days(FIRST, FIRST + dt.timedelta(days=days - 1)))


def test_without_history_there_is_no_estimate() -> None:
    assert estimate([chunk(10)], []) is None
    assert estimate([chunk(10)], [PastRun(5, (Share("another", 1, 1),))]) is None


@given(
    lengths=st.lists(st.integers(1, 400), min_size=2, max_size=5, unique=True),
    asked=st.lists(st.integers(1, 400), min_size=1, max_size=5),
)
def test_runs_that_went_at_an_even_pace_are_extrapolated(lengths: list[int], asked: list[int]) -> None:
    past = [run(days, per_run=2.0, per_day=0.05, around=3.0) for days in lengths]
    found = estimate([chunk(days) for days in asked], past)
    assert found is not None
    assert found.seconds == pytest.approx(sum(5 + 0.05 * days for days in asked), abs=0.06)


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1e4)), min_size=1, max_size=5))
def test_a_pace_is_never_negative_and_goes_through_the_mean(points: list[tuple[int, float]]) -> None:
    found = fit_rate(points)
    days = sum(day for day, _ in points) / len(points)
    seconds = sum(second for _, second in points) / len(points)
    assert found.per_run >= -1e-6
    assert found.per_day >= 0
    assert found.per_run + found.per_day * days == pytest.approx(seconds, abs=1e-6)


def test_an_older_run_of_another_size_counts_beside_many_of_one_size() -> None:
    short, long = (run(days, per_run=2.0, per_day=0.05, around=0.0) for days in (1, 90))
    found = estimate([chunk(90)], [*[short] * 8, long])
    assert found is not None
    assert found.seconds == pytest.approx(6.5, abs=0.06)


def test_the_basis_says_from_how_many_runs_and_which_assets_it_does_not_know() -> None:
    asked = Chunk(1, ("raw", "new"), Window.of_day(FIRST))
    found = estimate([asked], [run(10, per_run=0, per_day=0.5, around=4.0)])
    assert found is not None
    assert found.basis == (
        "the last run of these assets: 0.5 s per day + 4 s per run;"
        " 1 of 2 assets never ran and are not included"
    )
