"""Bars on a logarithmic axis as an SVG: what ours and theirs take, one pair for each number of days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

_WIDTH, _ROW, _LEFT, _TOP = 720, 22, 150, 56
_COLOURS = ("#2a7f62", "#c1554d")
Row = tuple[str, float, float]
"""What it is, our seconds, their seconds."""


def draw(rows: Sequence[Row], title: str, legend: tuple[str, str], file: Path) -> None:
    """Write the chart of `rows` to `file`."""
    most = max(max(ours, theirs) for _, ours, theirs in rows)
    scale = (_WIDTH - _LEFT - 110) / math.log10(max(10.0, most))
    height = _TOP + len(rows) * (2 * _ROW + 12) + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{title}</text>',
    ]
    for number, (name, colour) in enumerate(zip(legend, _COLOURS, strict=True)):
        x = 12 + number * 330
        out.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 18}" y="43">{name}</text>')
    for number, (name, *both) in enumerate(rows):
        y = _TOP + number * (2 * _ROW + 12)
        out.append(f'<text x="{_LEFT - 10}" y="{y + _ROW + 4}" text-anchor="end">{name}</text>')
        for bar, (seconds, colour) in enumerate(zip(both, _COLOURS, strict=True)):
            wide, top = max(2.0, math.log10(max(1.0, seconds)) * scale), y + bar * _ROW
            out.append(
                f'<rect x="{_LEFT}" y="{top}" width="{wide:.1f}" height="{_ROW - 3}" fill="{colour}"/>'
            )
            out.append(f'<text x="{_LEFT + wide + 6:.1f}" y="{top + 14}">{seconds:,.1f} s</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*out, "</svg>"]) + "\n")
