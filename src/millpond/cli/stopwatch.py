"""Where the time of a command goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table


class Stopwatch:
    """Seconds by part, in the order in which the parts began."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(part, time.perf_counter() - began)

    def add(self, part: str, seconds: float) -> None:
        """Add seconds to `part`."""
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    def print(self, console: Console) -> None:
        """Print a line per part and the total since this was made."""
        table = Table(
            title="Where the time went", title_justify="left", header_style="bold", show_footer=True
        )
        table.add_column("part", footer="all of it")
        table.add_column("seconds", justify="right", footer=f"{time.perf_counter() - self._began:.1f}")
        for part, seconds in self._parts.items():
            table.add_row(part, f"{seconds:.1f}")
        console.print(table)
