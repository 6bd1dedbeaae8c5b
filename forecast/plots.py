"""Plots as SVG, written by hand: the same bytes for the same numbers, and no package to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from forecast.columns import Floats

WIDTH, HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 44
COLORS = ("#1f6feb", "#d1571f", "#2da44e")


class Axes:
    """The frame of a plot: turns values into places on the page."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], height: int = HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height

    def place_x(self, value: float) -> float:
        """Return how far from the left a value is, in pixels."""
        return _LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - _LEFT - _RIGHT)

    def place_y(self, value: float) -> float:
        """Return how far from the top a value is, in pixels."""
        return (
            self.height
            - _BOTTOM
            - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - _TOP - _BOTTOM)
        )

    def draw(
        self, label_x: str, label_y: str, ticks_x: Mapping[float, str], ticks_y: Sequence[float]
    ) -> list[str]:
        """Return lines, numbers and names of the axes."""
        bottom, left, right = self.height - _BOTTOM, _LEFT, WIDTH - _RIGHT
        parts = [_line(left, bottom, right, bottom), _line(left, _TOP, left, bottom)]
        for value, text in ticks_x.items():
            parts.append(_text(self.place_x(value), bottom + 16, text, "middle"))
        for value in ticks_y:
            parts.append(_line(left, self.place_y(value), right, self.place_y(value), "0.15"))
            parts.append(_text(left - 6, self.place_y(value) + 4, f"{value:g}", "end"))
        middle = (_TOP + bottom) / 2
        parts.append(_text((left + right) / 2, self.height - 8, label_x, "middle"))
        parts.append(
            f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">'
            f"{escape(label_y)}</text>"
        )
        return parts


def plot_series(hours: Floats, series: Mapping[str, Floats], label_y: str) -> str:
    """Return lines over the hours of one day, with a legend; a line breaks where a value is NaN."""
    values = np.concatenate(list(series.values()))
    axes = Axes((0, 24), _widen(values))
    ticks = {float(hour): f"{hour}:00" for hour in range(0, 25, 4)}
    parts = axes.draw("hour in UTC", label_y, ticks, _ticks(axes.y))
    for number, (name, line) in enumerate(series.items()):
        points = " ".join(
            f"{axes.place_x(x):.1f},{axes.place_y(y):.1f}" for x, y in zip(hours, line, strict=True) if y == y
        )
        parts.append(
            f'<polyline fill="none" stroke="{COLORS[number]}" stroke-width="1.5" points="{points}"/>'
        )
        parts.append(_text(_LEFT + 12 + 150 * number, _TOP + 10, f"— {name}", "start", COLORS[number]))
    return _svg(parts, HEIGHT)


def plot_pairs(
    actual: Floats, predicted: Floats, unit: str, lines: Sequence[Sequence[tuple[float, float]]]
) -> str:
    """Return actual beside predicted values as points, with the diagonal and other lines.

    With other lines, such as borders of zones, the axes begin at 0.
    """
    height = 460
    both = np.concatenate([actual, predicted])
    span = (0.0, float(both.max())) if lines else _widen(both)
    axes = Axes(span, span, height)
    ticks = _ticks(span)
    parts = axes.draw(f"actual, {unit}", f"predicted, {unit}", {each: f"{each:g}" for each in ticks}, ticks)
    parts.append(f'<g fill="{COLORS[0]}" fill-opacity="0.35">')
    for x, y in zip(actual, predicted, strict=True):
        parts.append(f'<circle cx="{axes.place_x(x):.1f}" cy="{axes.place_y(y):.1f}" r="1.6"/>')
    parts.append("</g>")
    for line in [((span[0], span[0]), (span[1], span[1])), *lines]:
        points = " ".join(f"{axes.place_x(x):.1f},{axes.place_y(y):.1f}" for x, y in line)
        parts.append(f'<polyline fill="none" stroke="currentColor" stroke-width="1" points="{points}"/>')
    return _svg(parts, height)


def plot_margins(margins: Mapping[str, tuple[float, float, float]], unit: str) -> str:
    """Return a bar for each baseline: by how much the model is better, with the 95 % interval."""
    high = max((each[2] for each in margins.values()), default=1.0)
    low = min(0.0, *(each[1] for each in margins.values()))
    height = _TOP + _BOTTOM + 48 * len(margins)
    axes = Axes((low, high * 1.1 or 1.0), (0, 1), height)
    parts = axes.draw(f"smaller mean absolute error, {unit}", "", {t: f"{t:g}" for t in _ticks(axes.x)}, [])
    zero = axes.place_x(0)
    for number, (name, (margin, least, most)) in enumerate(margins.items()):
        y = _TOP + 48 * number + 10
        start, end = sorted((zero, axes.place_x(margin)))
        parts.append(
            f'<rect x="{start:.1f}" y="{y}" width="{end - start:.1f}" height="26" fill="{COLORS[0]}" '
            'fill-opacity="0.6"/>'
        )
        parts.append(_line(axes.place_x(least), y + 13, axes.place_x(most), y + 13))
        parts.append(_text(zero + 6, y + 18, f"{name}: {margin:.3g} [{least:.3g}, {most:.3g}]", "start"))
    return _svg(parts, height)


def _svg(parts: Sequence[str], height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12" fill="currentColor">\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float, opacity: str = "0.8") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="{opacity}"/>'


def _text(x: float, y: float, text: str, anchor: str, color: str = "currentColor") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" fill-opacity="1">'
        f"{escape(text)}</text>"
    )


def _widen(values: Floats) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _ticks(span: tuple[float, float]) -> list[float]:
    """Return some five round numbers within the span."""
    raw = (span[1] - span[0]) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(each * power for each in (1, 2, 5, 10) if each * power >= raw))
    first = int(np.ceil(span[0] / step))
    return [round(number * step, 10) for number in range(first, int(span[1] // step) + 1)]
