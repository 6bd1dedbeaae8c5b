"""Dagster's servers colour their log lines, also those that are written to a file."""

from __future__ import annotations

import sys
from typing import Any

import coloredlogs  # type: ignore[import-untyped]


class _PlainFormatter(coloredlogs.BasicFormatter):  # type: ignore[misc]
    """Takes the options of the formatter that it stands in for."""

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, **_: Any) -> None:
        super().__init__(fmt, datefmt)


def omit_colours() -> None:
    """Have Dagster write this process's log without colours, unless a terminal shows it."""
    if not sys.stdout.isatty():
        coloredlogs.ColoredFormatter = _PlainFormatter
