"""Features hold nothing of the future; the target is the reading 30 minutes later."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from forecast_data import make_quick, read_readings
from hypothesis import given
from hypothesis import strategies as st

from forecast import features
from forecast.cleaning import split_bad_rows
from forecast.columns import to_floats
from forecast.features import build_features, build_target, feature_names, find_values
from forecast.spec import Config, read_config
from forecast.splits import TEST, TRAIN, VALIDATION, split_rows

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
CONFIG = read_config("glucose")


def make_rows(readings: list[tuple[dt.datetime, float]]) -> pa.Table:
    times = [at for at, _ in readings]
    return pa.table(
        {
            "reading_at": pa.array(times, pa.timestamp("us", "UTC")),
            "glucose_mg_dl": pa.array([float(value) for _, value in readings]),
            "hour_of_day": pa.array([at.hour for at in times], pa.int64()),
        }
    )


def every_five_minutes(values: list[float]) -> pa.Table:
    return make_rows([(START + dt.timedelta(minutes=5 * n), value) for n, value in enumerate(values)])


@st.composite
def readings_and_a_change(draw: st.DrawFn) -> tuple[list[tuple[dt.datetime, float]], int, list[float]]:
    """Readings at irregular times, the number of the last that stays, and other values for all after it."""
    gaps = draw(st.lists(st.integers(20, 2400), min_size=8, max_size=60))
    times = [START + dt.timedelta(seconds=sum(gaps[: n + 1])) for n in range(len(gaps))]
    values = draw(st.lists(st.floats(40, 400), min_size=len(gaps), max_size=len(gaps)))
    last = draw(st.integers(0, len(gaps) - 2))
    changed = draw(st.lists(st.floats(40, 400), min_size=len(gaps), max_size=len(gaps)))
    return list(zip(times, values, strict=True)), last, changed


def assert_no_future(case: tuple[list[tuple[dt.datetime, float]], int, list[float]]) -> None:
    readings, last, changed = case
    before = build_features(make_rows(readings), CONFIG).slice(0, last + 1)
    others = [(at, changed[n] if n > last else value) for n, (at, value) in enumerate(readings)]
    assert build_features(make_rows(others), CONFIG).slice(0, last + 1).equals(before)
    assert build_features(make_rows(readings[: last + 1]), CONFIG).equals(before.combine_chunks())


@given(readings_and_a_change())
def test_no_later_value_changes_a_feature_nor_does_its_absence(
    case: tuple[list[tuple[dt.datetime, float]], int, list[float]],
) -> None:
    assert_no_future(case)


def test_a_feature_that_reaches_into_the_future_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(
        rows: pa.Table, config: Config, column: str, minutes: float
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return find_values(rows, config, column, -minutes)

    monkeypatch.setattr(features, "find_values", leak)
    readings = [(START + dt.timedelta(minutes=5 * n), 100.0 + n) for n in range(30)]
    with pytest.raises(AssertionError):
        assert_no_future((readings, 10, [300.0] * 30))


def test_features_are_the_values_of_their_minutes_and_the_target_that_of_half_an_hour_later() -> None:
    rows = every_five_minutes([100.0 + n for n in range(40)])
    built, target = build_features(rows, CONFIG), build_target(rows, CONFIG)
    assert built.column_names == ["reading_at", *feature_names(CONFIG)]
    assert built["glucose_mg_dl"][20].as_py() == 120
    assert built["glucose_mg_dl_5_min_ago"][20].as_py() == 119
    assert built["glucose_mg_dl_60_min_ago"][20].as_py() == 108
    assert target[20].as_py() == 126
    assert built["glucose_mg_dl_60_min_ago"][11].as_py() is None
    assert target[34].as_py() is None


def test_across_a_gap_there_is_no_feature_and_no_target() -> None:
    rows = every_five_minutes([float(n) + 100 for n in range(60)])
    kept = rows.slice(0, 20).to_pylist() + rows.slice(26).to_pylist()
    gappy = pa.Table.from_pylist(kept, rows.schema)
    built, target = build_features(gappy, CONFIG), build_target(gappy, CONFIG)
    assert built["glucose_mg_dl_5_min_ago"][20].as_py() is None
    assert built["glucose_mg_dl_40_min_ago"][20].as_py() == 118
    assert target[15].as_py() is None


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = every_five_minutes([100.0 + n % 7 for n in range(50)])
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(50)))
    assert build_features(shuffled, CONFIG).equals(build_features(rows, CONFIG))
    assert build_target(shuffled, CONFIG).equals(build_target(rows, CONFIG))


def test_parts_follow_each_other_in_time_and_no_target_lies_in_a_later_part(tmp_path: Path) -> None:
    config = make_quick(tmp_path / "none.csv")
    seconds = np.array([at.timestamp() for at, _ in read_readings(4)])
    parts = split_rows(config, seconds, len(seconds))
    ends = {part: seconds[parts == part].max() for part in (TRAIN, VALIDATION)}
    begins = {part: seconds[parts == part].min() for part in (VALIDATION, TEST)}
    assert ends[TRAIN] + 1800 < begins[VALIDATION]
    assert ends[VALIDATION] + 1800 < begins[TEST]
    assert begins[TEST] % 86_400 < 600


def test_bad_rows_are_kept_apart_with_the_reason() -> None:
    rows = every_five_minutes([100.0, float("nan"), float("inf"), 5.0, 900.0, 120.0])
    unknown = pa.array([*rows["hour_of_day"].to_pylist()[:5], None], pa.int64())
    rows = rows.set_column(2, "hour_of_day", unknown)
    good, bad = split_bad_rows(rows, CONFIG)
    assert to_floats(good, "glucose_mg_dl").tolist() == [100.0]
    assert bad["reason"].to_pylist() == [
        "glucose_mg_dl is not a number",
        "glucose_mg_dl is infinite",
        "glucose_mg_dl is below 20",
        "glucose_mg_dl is above 600",
        "hour_of_day is null",
    ]
