"""A source of files, as a test declares it: its folder, its table, loads of days, what is in the lake."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.partitions import Window
from source_tables import raw

DAY = dt.date(2026, 1, 5)
NEXT = dt.date(2026, 1, 6)
COLUMNS = {
    "id": {"type": "int"},
    "at": {"type": "timestamp"},
    "amount": {"type": "decimal(18,2)", "optional": True},
    "note": {"type": "string", "optional": True},
}


class Drop:
    """A folder with the files of the table `sales`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file as a whole, as a careful sender does."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}")
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
        return part.rename(file)

    def spec(
        self, path: str, columns: dict[str, Any] | None = None, table: Any = None, url: str = "", **files: Any
    ) -> SourceSpec:
        """Return the source whose table `sales` are the files at `path`."""
        return SourceSpec.model_validate(
            {
                "source": "shop",
                "files": {"url": url or str(self.folder)},
                "tables": [
                    {
                        "name": "sales",
                        "key": ["id"],
                        "event_time": {"column": "at"},
                        "columns": columns or COLUMNS,
                        "files": {"path": path, "stable_after": "0s", **files},
                        **(table or {}),
                    }
                ],
            }
        )

    def load(
        self, spec: SourceSpec, first: dt.date = DAY, last: dt.date | None = None, **how: Any
    ) -> LoadResult:
        """Load days of the table."""
        window = Window.of_days(first, last or first)
        return load(spec, spec.tables[0], window, ref="main", run_id="test", **how)


def sales(*columns: str) -> list[Any]:
    """Return the good rows in the lake."""
    return raw(*columns, table="raw.sales", key="id")


def bad_sales(*columns: str) -> list[Any]:
    """Return the bad rows in the lake."""
    return raw(*columns, table="quarantine.sales", key="payload")
