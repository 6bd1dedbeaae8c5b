"""Bars on a logarithmic axis: what ours and others take, a group for each number of days."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_WIDTH, _ROW, _LEFT, _TOP = 720, 22, 150, 56
_COLOURS = ("#2a7f62", "#c1554d", "#8a6d3b", "#7a7a7a")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Row = tuple[str, Sequence[float]]
"""What it is, the seconds of each."""


def draw(rows: Sequence[Row], title: str, legend: Sequence[str], file: Path, least: float = 1.0) -> None:
    """Write the chart of `rows` to `file`, an SVG; beside it as a PNG if there is a Chromium.

    The axis begins at `least` seconds.
    """
    most = max(max(seconds) for _, seconds in rows)
    scale = (_WIDTH - _LEFT - 110) / math.log10(max(10.0, most / least))
    tall = len(legend) * _ROW + 12
    height = _TOP + (len(legend) - 1) * 18 + len(rows) * tall + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{title}</text>',
    ]
    for number, (name, colour) in enumerate(zip(legend, _COLOURS, strict=False)):
        y = 32 + number * 18
        out.append(f'<rect x="12" y="{y}" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="30" y="{y + 11}">{name}</text>')
    for number, (name, each) in enumerate(rows):
        y = _TOP + (len(legend) - 1) * 18 + number * tall
        out.append(f'<text x="{_LEFT - 10}" y="{y + _ROW + 4}" text-anchor="end">{name}</text>')
        for bar, (seconds, colour) in enumerate(zip(each, _COLOURS, strict=False)):
            wide, top = max(2.0, math.log10(max(1.0, seconds / least)) * scale), y + bar * _ROW
            out.append(
                f'<rect x="{_LEFT}" y="{top}" width="{wide:.1f}" height="{_ROW - 3}" fill="{colour}"/>'
            )
            out.append(f'<text x="{_LEFT + wide + 6:.1f}" y="{top + 14}">{_written(seconds)}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*out, "</svg>"]) + "\n")
    if browser := next(filter(None, map(shutil.which, _BROWSERS)), None):
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={_WIDTH},{height}"]
        shot = f"--screenshot={file.with_suffix('.png')}"
        subprocess.run([browser, *options, shot, file.resolve().as_uri()], check=True, capture_output=True)


def _written(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1000:,.0f} ms"
    return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
