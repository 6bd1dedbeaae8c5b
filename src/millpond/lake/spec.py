"""What a table declares, what a write contains, and what it reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from millpond.errors import ConfigError
from millpond.lake.hashing import Digests
from millpond.lake.most_rows import Keeping, MostRows
from millpond.naming import table_name
from millpond.partitions import Window

if TYPE_CHECKING:
    from millpond.lake.windows import Windows  # brings in pyiceberg, which declaring tables does without


@dataclass(frozen=True)
class TableSpec:
    """An Iceberg table `<layer>.<name>` as its owner declares it.

    `schema` holds the columns it must have; further columns of the data are added. `window_column` is
    the date column whose range a windowed write replaces, `key` names a row, `grain` is the partition
    transform on `window_column` (None: unpartitioned), `sort_by` the order of rows within files.
    """

    name: str
    schema: pa.Schema
    window_column: str | None = None
    key: tuple[str, ...] = ()
    grain: Literal["month", "day"] | None = None
    sort_by: tuple[str, ...] = ()
    comments: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    drops: bool = False
    """Whether a write of some days also drops, for all days, the columns that its rows lack."""
    exact: bool = False
    """Whether replacing the whole table narrows its types, where the rows have narrower ones."""
    any_schema: bool = False
    """Whether it may be in a schema that is not a layer, as tables of dbt by hand on a branch may."""

    def __post_init__(self) -> None:
        if not self.any_schema:
            table_name(self.name)
        if self.grain and not self.window_column:
            raise ConfigError(
                f"table {self.name} has a grain but no window column",
                next_step="name the date column it is partitioned by, or leave the grain out",
            )
        if self.window_column and self.window_column in self.schema.names:
            kind = self.schema.field(self.window_column).type
            if not pa.types.is_date32(kind):
                raise ConfigError(
                    f"the window column {self.name}.{self.window_column} is {kind}, not a date",
                    next_step="add a date column for the partition a row belongs to and name that",
                )


@dataclass(frozen=True)
class Replacement:
    """New rows for a window of a table; `window` None replaces all of it.

    `data` is an Arrow table, or Parquet files that are read as a stream and may be larger than memory.
    `check` is called while the table is locked, with the digests by day of the old and the new rows, and the
    most rows of days that have fewer now; if it raises, the table stays as it is. `keeping` says whether
    the most rows of these days are recorded or forgotten.
    """

    table: TableSpec
    data: pa.Table | Sequence[Path]
    window: Window | Windows | None
    check: Callable[[Digests, Digests, MostRows], None] | None = None
    keeping: Keeping | None = None


@dataclass(frozen=True)
class Written:
    """What a replacement did to a table.

    `rows` are now in the window, `bytes` were written to data files (0 if unchanged), `content_hash`
    covers the window and `day_hashes` each of its days, also empty ones. `location` is the metadata file.
    """

    table: str
    changed: bool
    rows: int
    bytes: int
    snapshot_id: int | None
    content_hash: str
    day_hashes: dict[dt.date, str]
    location: str = ""
