"""The tables of the lake: rows, bytes, files, snapshots, and how they grew; and the branches."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from millpond.lake.pins import hold_pin
from millpond.lake.read import list_tables, load_table

SMALL_FILE = 1_000_000
"""Bytes below which the files of a table are small on average, if it has many of them."""
MANY_FILES = 100


@dataclass(frozen=True)
class Growth:
    """Rows and bytes of a table after a write."""

    at: dt.datetime
    rows: int
    bytes: int


@dataclass(frozen=True)
class TableFigures:
    """A table as it is now; `growth` has one entry for each snapshot, oldest first."""

    name: str
    rows: int
    bytes: int
    files: int
    snapshots: int
    changed: dt.datetime | None
    growth: tuple[Growth, ...] = ()

    @property
    def has_small_files(self) -> bool:
        """Whether it has many files that are small."""
        return self.files >= MANY_FILES and self.bytes / self.files < SMALL_FILE


def read_tables(ref: str) -> list[TableFigures]:
    """Return the tables of a ref by name; reads their metadata, no data. Raises RefNotFound."""
    found = []
    with hold_pin(ref) as pin:
        for name in list_tables(pin):
            table = load_table(pin, name)
            growth = tuple(
                Growth(
                    dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC),
                    *(int(snapshot.summary[key] or 0) for key in ("total-records", "total-files-size")),
                )
                for snapshot in sorted(table.snapshots(), key=lambda each: each.timestamp_ms)
                if snapshot.summary
            )
            current = table.current_snapshot()
            files = int(current.summary["total-data-files"] or 0) if current and current.summary else 0
            last = growth[-1] if growth else None
            found.append(
                TableFigures(
                    name,
                    last.rows if last else 0,
                    last.bytes if last else 0,
                    files,
                    len(growth),
                    last.at if last else None,
                    growth,
                )
            )
    return found
