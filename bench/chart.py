"""Bars on a logarithmic axis: what ours and others take, a group for each case."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path

_WIDTH, _LEFT, _RIGHT = 860, 330, 90
_BAR, _HEAD, _TOP = 20, 30, 40
_OURS, _THEIRS = "#2a7f62", "#b9b3a5"


def draw(cases: Mapping[str, Mapping[str, float]], title: str, file: Path) -> None:
    """Write to `file`, an SVG, the seconds of each way of each case; the first way of a case is ours.

    The axis begins at the power of ten below the shortest.
    """
    seconds = [taken for ways in cases.values() for taken in ways.values()]
    least = 10 ** math.floor(math.log10(min(seconds)) - 0.01)
    scale = (_WIDTH - _LEFT - _RIGHT) / math.log10(max(seconds) / least)
    height = _TOP + sum(_HEAD + len(ways) * _BAR for ways in cases.values()) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}, seconds (log)</text>',
    ]
    y = _TOP
    for case, ways in cases.items():
        out.append(f'<text x="12" y="{y + 20}" font-weight="bold">{escape(case)}</text>')
        y += _HEAD
        for number, (way, taken) in enumerate(ways.items()):
            wide = math.log10(taken / least) * scale
            colour = _THEIRS if number else _OURS
            out += [
                f'<text x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(way)}</text>',
                f'<rect x="{_LEFT}" y="{y}" width="{wide:.1f}" height="{_BAR - 4}" fill="{colour}"/>',
                f'<text x="{_LEFT + wide + 6:.1f}" y="{y + 13}">{format_seconds(taken)}</text>',
            ]
            y += _BAR
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*out, "</svg>"]) + "\n")


def format_seconds(seconds: float) -> str:
    """Return seconds as people write them: 12 ms, 1.25 s, 63.5 s."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.1f} s"
