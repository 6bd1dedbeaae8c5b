"""What the person of the glucose recording ate and measured, made up from a fixed seed.

No meal, dose or finger stick is real. A meal comes shortly before the steepest rise of its part of the day,
and a finger stick is near the reading of its time, so that the sources fit each other. They have the flaws of
real ones: days without rows, rows that are there twice or cut off, amounts that are corrected later.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from millpond.runtime.demo_source.replay import WEEK_MS, Replay, read_recording

_Numbers = npt.NDArray[np.int64]
_Row = TypeVar("_Row")
_WEEKS = 28
_SEED = 20100330
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = WEEK_MS // 7
_PEAK_READINGS = 24
"""Readings in two hours."""
_NEAR_MS = 15 * _MINUTE_MS
_MEALS = (("breakfast", 6, 10), ("lunch", 11, 14), ("snack", 15, 17), ("dinner", 17, 21))
"""Each with the hours between which it is eaten."""
_BEDTIME_HOUR = 22


@dataclass(frozen=True)
class Meal:
    """An entry of the diary but for its time: first with `carbs_g`, later perhaps with `corrected_g`.

    The correction comes `delay_ms` after the meal.
    """

    name: str
    carbs_g: int | str
    insulin_units: float
    corrected_g: int | None = None
    delay_ms: int = 0


@dataclass(frozen=True)
class FingerStick:
    """A line that the meter exports but for its time; it may be cut off, or be there twice."""

    glucose_mg_dl: int
    marker: str
    is_cut: bool = False
    is_twice: bool = False


@lru_cache(1)
def meals() -> tuple[Replay, list[Meal]]:
    """Return when entries of the diary are made and what they are, sorted by time."""
    return _sort(_eat())


@lru_cache(1)
def finger_sticks() -> tuple[Replay, list[FingerStick]]:
    """Return when finger sticks are made and what they are, sorted by time."""
    return _sort(_measure())


def _sort(rows: Iterator[tuple[int, _Row]]) -> tuple[Replay, list[_Row]]:
    ordered = sorted(rows, key=lambda row: row[0])
    return Replay(np.array([offset for offset, _ in ordered], dtype=np.int64), _WEEKS), [
        r for _, r in ordered
    ]


@lru_cache(1)
def _read() -> tuple[_Numbers, _Numbers]:
    """Return the offsets in milliseconds of all readings, and their values in mg/dL."""
    rows = np.array(read_recording("glucose"), dtype=np.int64)
    return rows[:, 0] * 1000, rows[:, 1]


def _rises() -> _Numbers:
    """Return by how much each reading is exceeded within the next two hours."""
    values = _read()[1]
    padded = np.append(values, np.full(_PEAK_READINGS, values[-1]))
    ahead = np.lib.stride_tricks.sliding_window_view(padded[1:], _PEAK_READINGS)
    return np.asarray(ahead.max(axis=1) - values, dtype=np.int64)


def _eat() -> Iterator[tuple[int, Meal]]:
    chance, rises, offsets = random.Random(_SEED), _rises(), _read()[0]  # noqa: S311 - a fixed sequence
    for day in range(_WEEKS * 7):
        forgotten = chance.random() < 1 / 25
        for name, first, last in _MEALS:
            begin, end = (day * _DAY_MS + hour * _HOUR_MS for hour in (first, last))
            low, high = np.searchsorted(offsets, (begin, end))
            steepest = low + int(rises[low:high].argmax()) if high > low else None
            at = int(offsets[steepest]) if steepest is not None else (begin + end) // 2
            rise = int(rises[steepest]) if steepest is not None else 40
            meal = _describe(name, rise, chance)
            eaten = max(begin, at - 1000 * chance.randrange(30, 240))
            left_out = name == "snack" and chance.random() < 0.6
            if not forgotten and not left_out:
                yield eaten, meal


def _describe(name: str, rise: int, chance: random.Random) -> Meal:
    grams = max(10, 5 * round((0.4 * min(max(rise, 20), 160) + chance.gauss(0, 8)) / 5))
    units = round(2 * grams / chance.uniform(9, 13)) / 2
    draw, change, hours = chance.random(), chance.choice((-10, -5, 5, 10, 20)), chance.uniform(3, 20)
    if name == "snack" and draw < 0.25:
        return Meal(name, "one slice", units)
    if draw < 1 / 12:
        return Meal(name, grams, units, max(5, grams + change), int(hours * _HOUR_MS))
    return Meal(name, grams, units)


def _measure() -> Iterator[tuple[int, FingerStick]]:
    chance = random.Random(_SEED + 1)  # noqa: S311 - no secret, a fixed sequence
    replay, rows = meals()
    sticks = [
        (int(at) - 1000 * chance.randrange(60, 600), f"before {row.name}")
        for at, row in zip(replay.offsets, rows, strict=True)
        if row.name != "snack" and chance.random() < 0.8
    ]
    sticks += [
        (day * _DAY_MS + _BEDTIME_HOUR * _HOUR_MS + 1000 * chance.randrange(3600), "bedtime")
        for day in range(_WEEKS * 7)
    ]
    forgotten = {day for day in range(_WEEKS * 7) if chance.random() < 1 / 25}
    for at, marker in sorted(sticks):
        error, draw = chance.gauss(1.02, 0.06), chance.random()
        if at // _DAY_MS not in forgotten:
            yield (
                at,
                FingerStick(
                    min(max(round(_reading_near(at) * error), 40), 400), marker, draw < 1 / 30, draw > 0.96
                ),
            )


def _reading_near(at: int) -> int:
    """Return the value in mg/dL of the reading nearest to `at`; 120 where none is near."""
    offsets, values = _read()
    right = int(np.searchsorted(offsets, at))
    nearest = min(
        (i for i in (right - 1, right) if 0 <= i < len(offsets)), key=lambda i: abs(int(offsets[i]) - at)
    )
    return int(values[nearest]) if abs(int(offsets[nearest]) - at) <= _NEAR_MS else 120
