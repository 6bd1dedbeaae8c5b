"""The report of a demo run: rows by day, models, marts, a chart, and times."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from millpond.cli.query import run_query
from millpond.lake.pins import hold_pin
from millpond.lake.read import count, list_tables
from millpond.naming import pluralize
from millpond.partitions import Window
from millpond.runs.progress import Progress, RunOutcome
from millpond.settings import settings, source_names, variable


class Stopwatch:
    """Seconds by part, in the order in which the parts started."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._parts: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
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
        table.add_column("part", footer="total")
        table.add_column("seconds", justify="right", footer=f"{time.perf_counter() - self._began:.1f}")
        for part, seconds in self._parts.items():
            table.add_row(part, f"{seconds:.1f}")
        console.print(table)


_WIDTH, _HEIGHT = 72, 12
_LOWEST, _HIGHEST = 40.0, 300.0
_LOW, _HIGH = 70.0, 180.0


def draw_glucose_day(day: dt.date, readings: Sequence[tuple[float, float]]) -> Text:
    """Return a chart of one day, a dot for each 20 minutes.

    `readings` are (hour of the day 0–24, mg/dL). Green is the target range 70–180 mg/dL, red below,
    yellow above; a gap in the data is a gap in the line.
    """
    means = _average_columns(readings)
    text = Text(f"Glucose on {day}, mg/dL (target range 70–180 shaded)\n", style="bold")
    for row in reversed(range(_HEIGHT)):
        text.append(f"{_to_value(row + 0.5):4.0f} │", style="dim")
        shaded = _LOW <= _to_value(row + 0.5) <= _HIGH
        for mean in means:
            if mean is not None and _to_row(mean) == row:
                text.append("●", style=_choose_colour(mean))
            else:
                text.append("·" if shaded else " ", style="dim")
        text.append("\n")
    text.append("     └" + "─" * _WIDTH + "\n", style="dim")
    text.append("      " + "".join(f"{h:02d}:00".ljust(_WIDTH // 8) for h in range(0, 24, 3)), style="dim")
    return text


def _average_columns(readings: Sequence[tuple[float, float]]) -> list[float | None]:
    sums = [[0.0, 0] for _ in range(_WIDTH)]
    for hour, value in readings:
        column = sums[min(int(hour / 24 * _WIDTH), _WIDTH - 1)]
        column[0] += value
        column[1] += 1
    return [total / count if count else None for total, count in sums]


def _to_value(row: float) -> float:
    return _LOWEST + (_HIGHEST - _LOWEST) * row / _HEIGHT


def _to_row(value: float) -> int:
    clamped = min(max(value, _LOWEST), _HIGHEST - 1e-9)
    return int((clamped - _LOWEST) / (_HIGHEST - _LOWEST) * _HEIGHT)


def _choose_colour(value: float) -> str:
    return "red" if value < _LOW else "yellow" if value > _HIGH else "green"


_WHERE = ("rows_loaded", "rows_quarantined", "duplicates_dropped", "rows_outside_window")
"""What may have become of each row of a source."""
_OVERVIEW = "select * from marts.mrt_glucose_overview order by reading_date desc limit 7"
_QUARANTINED = "select reason, payload from quarantine.glucose_entries limit 5"


class Report:
    """Collects the figures of a run's partitions and prints them at the end."""

    def __init__(self, console: Console, window: Window) -> None:
        self._console, self._window = console, window
        self._loads: defaultdict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        self._marts: dict[str, dict[str, float]] = {}

    def take(self, event: Progress) -> None:
        """Record an event of the run."""
        if event.kind == "materialized" and event.partition and "rows_in_source" in event.numbers:
            self._loads[event.asset][event.partition] = event.numbers
        elif event.kind == "materialized" and event.asset.startswith("marts/"):
            self._marts[event.asset] = event.numbers

    def print(self, outcome: RunOutcome) -> bool:
        """Print the tables and the chart; return whether every row is accounted for."""
        complete = [self._print_loads(asset) for asset in sorted(self._loads)]
        self._print_models(outcome)
        if self._marts:
            complete.append(self._print_marts())
        if any(each.asset == "fct_glucose_readings" for each in outcome.assets):
            self._print_picture()
        return all(complete)

    def as_document(self, outcome: RunOutcome) -> dict[str, Any]:
        """Return the run with the figures of each loaded day and each mart, for machines."""
        wanted = ("rows_in_source", *_WHERE)
        loads = {
            asset: {
                day: {name: int(numbers[name]) for name in wanted} for day, numbers in sorted(days.items())
            }
            for asset, days in sorted(self._loads.items())
        }
        marts = {
            mart: {name: int(numbers.get(name, 0)) for name in ("rows_lake", "rows_postgres", "rows_changed")}
            for mart, numbers in sorted(self._marts.items())
        }
        return {"window": str(self._window), "loads": loads, "marts": marts, "run": outcome}

    def print_next_steps(self) -> None:
        """Print what to try next."""
        configured = settings()
        addresses = [
            variable("url", name)
            for name in source_names(configured.project)
            if not configured.source(name).url
        ]
        steps = [
            (f'sql "{_OVERVIEW}"', "", "marts/mrt_glucose_overview" in self._marts),
            (f'sql "{_QUARANTINED}"', "", "dlt_glucose_entries" in self._loads),
            ('materialize "*" --range A...B', "more days, few runs", True),
            ("env", "connect psql, a BI tool, an Iceberg client", True),
            ("dashboard", "the readings, and the state of everything, in a browser", True),
            ("demo", "again: nothing changes", True),
            ("down", "stop the parts; the data stays", True),
        ]
        lines = [f"  {f'millpond {typed}':<41} {what}".rstrip() for typed, what, shown in steps if shown]
        if addresses:
            lines.append(f"Your own server: set {' or '.join(addresses)} (.env.example explains).")
        self._console.print("\n".join(["[bold]Next[/bold]", *lines]), soft_wrap=True)

    def _print_loads(self, asset: str) -> bool:
        table = Table(
            title=f"{asset}: source = loaded + quarantined + duplicates + out of range",
            title_justify="left",
            header_style="bold",
            show_footer=True,
        )
        days = sorted(self._loads[asset].items())
        totals = {n: sum(int(numbers[n]) for _, numbers in days) for n in ("rows_in_source", *_WHERE)}
        table.add_column("day", footer=pluralize(len(days), "day"))
        headings = ("source", "loaded", "quarantined", "duplicates", "out of\nrange")
        for heading, total in zip(headings, totals.values(), strict=True):
            table.add_column(heading, justify="right", footer=f"{total:,}")
        right = [_is_accounted(numbers) for _, numbers in days]
        table.add_column("equal", justify="center", footer=f"{sum(right)} of {len(days)}")
        for (day, numbers), equal in zip(days, right, strict=True):
            figures = (f"{int(numbers[name]):,}" for name in ("rows_in_source", *_WHERE))
            table.add_row(day, *figures, "[green]✓[/green]" if equal else "[red]✗[/red]")
        self._console.print(table)
        return all(right) and len(days) == len(self._window)

    def _print_models(self, outcome: RunOutcome) -> None:
        table = Table(title="Models in Iceberg", title_justify="left", header_style="bold")
        table.add_column("table")
        table.add_column("rows", justify="right")
        table.add_column("materialized", justify="right")
        done = {asset.asset: asset.partitions for asset in outcome.assets}
        with hold_pin(settings().ref) as pin:
            for name in list_tables(pin):
                layer, model = name.split(".")
                if layer not in ("raw", "quarantine"):
                    table.add_row(name, f"{count(pin, name):,}", f"{done.get(model, 0)} ×")
        self._console.print(table)

    def _print_marts(self) -> bool:
        table = Table(title="Marts in Postgres, rows", title_justify="left", header_style="bold")
        table.add_column("mart")
        for heading in ("in the lake", "in Postgres", "changed"):
            table.add_column(heading, justify="right")
        table.add_column("equal", justify="center")
        right = []
        for mart, numbers in self._marts.items():
            lake, postgres = int(numbers["rows_lake"]), int(numbers["rows_postgres"])
            right.append(lake == postgres)
            changed = f"{int(numbers.get('rows_changed', 0)):,}"
            equal = "[green]✓[/green]" if lake == postgres else "[red]✗[/red]"
            table.add_row(mart.removeprefix("marts/"), f"{lake:,}", f"{postgres:,}", changed, equal)
        self._console.print(table)
        return all(right)

    def _print_picture(self) -> None:
        day = self._window.last
        _, rows = run_query(
            "select reading_at, glucose_mg_dl from silver.fct_glucose_readings"
            " where reading_date = ? order by 1",
            parameters=[day],
        )
        zone = settings().zone
        readings = [(_to_hour(moment.astimezone(zone)), float(value)) for moment, value in rows]
        if readings:
            self._console.print(draw_glucose_day(day, readings))


def _to_hour(moment: dt.datetime) -> float:
    return moment.hour + moment.minute / 60


def _is_accounted(numbers: dict[str, float]) -> bool:
    return numbers["rows_in_source"] == sum(numbers[name] for name in _WHERE)
