"""A glucose day as a picture for the terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.text import Text

_COLUMNS, _ROWS = 72, 12
_LOWEST, _HIGHEST = 40.0, 300.0
_LOW, _HIGH = 70.0, 180.0


def glucose_day(day: dt.date, readings: Sequence[tuple[float, float]]) -> Text:
    """Return a chart of one day, a dot for each 20 minutes.

    `readings` are (hour of the day 0–24, mg/dL). Green is the target range 70–180 mg/dL, red below,
    yellow above; a gap in the data is a gap in the line.
    """
    means = _column_means(readings)
    text = Text(f"Glucose on {day}, mg/dL (target range 70–180 shaded)\n", style="bold")
    for row in reversed(range(_ROWS)):
        text.append(f"{_value(row + 0.5):4.0f} │", style="dim")
        shaded = _LOW <= _value(row + 0.5) <= _HIGH
        for mean in means:
            if mean is not None and _row(mean) == row:
                text.append("●", style=_colour(mean))
            else:
                text.append("·" if shaded else " ", style="dim")
        text.append("\n")
    text.append("     └" + "─" * _COLUMNS + "\n", style="dim")
    text.append("      " + "".join(f"{h:02d}:00".ljust(_COLUMNS // 8) for h in range(0, 24, 3)), style="dim")
    return text


def _column_means(readings: Sequence[tuple[float, float]]) -> list[float | None]:
    sums = [[0.0, 0] for _ in range(_COLUMNS)]
    for hour, value in readings:
        column = sums[min(int(hour / 24 * _COLUMNS), _COLUMNS - 1)]
        column[0] += value
        column[1] += 1
    return [total / count if count else None for total, count in sums]


def _value(row: float) -> float:
    return _LOWEST + (_HIGHEST - _LOWEST) * row / _ROWS


def _row(value: float) -> int:
    clamped = min(max(value, _LOWEST), _HIGHEST - 1e-9)
    return int((clamped - _LOWEST) / (_HIGHEST - _LOWEST) * _ROWS)


def _colour(value: float) -> str:
    return "red" if value < _LOW else "yellow" if value > _HIGH else "green"
