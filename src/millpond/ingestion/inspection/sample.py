"""The rows of a few days as a load would take them, fetched and validated, and nothing of it written."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from millpond.errors import MillpondError
from millpond.ingestion.reader import FetchResult, Reader
from millpond.ingestion.refusals import find_refused_days
from millpond.ingestion.schema import name_added_columns
from millpond.ingestion.staging import open_staging_folder
from millpond.ingestion.validated_rows import Counts
from millpond.ingestion.validation import validate_rows
from millpond.naming import LINEAGE_COLUMNS
from millpond.partitions import Window
from millpond.settings import Settings


@dataclass(frozen=True)
class Sample:
    """What a load of `window` would find.

    `counts` says what becomes of the rows of each day, `other_days` how many rows of days came that were not
    requested. `rows` are the good ones, `quarantined` the bad ones with reason and payload, up to a limit;
    `nulls` counts missing values of all good rows by column. `failed` says why days would not be loaded.
    """

    window: Window
    counts: dict[dt.date, Counts]
    other_days: int
    rows: list[dict[str, Any]]
    quarantined: list[dict[str, Any]]
    nulls: dict[str, int]
    fields: set[str]
    failed: dict[dt.date, MillpondError] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> Counts:
        """The counts of all days together."""
        whole = Counts()
        for each in self.counts.values():
            whole.good += each.good
            whole.bad += each.bad
            whole.duplicate += each.duplicate
            whole.outside += each.outside
            for name in ("reasons", "nulled", "no_value"):
                found = getattr(whole, name)
                for key, number in getattr(each, name).items():
                    found[key] = found.get(key, 0) + number
            whole.fatal |= each.fatal
        return whole


def take_sample(reader: Reader, window: Window, configured: Settings, limit: int = 10) -> Sample:
    """Return what a load of `window` would find; raises a MillpondError where nothing can be read."""
    began, table = time.perf_counter(), reader.table
    with _staged(reader, window, configured) as (fetched, folder):
        fields = fetched.fields if table.unknown_columns == "add" else ()
        added, _ = name_added_columns(table, fields)
        with validate_rows(table, fetched, window, configured.zone, added, folder / "judged") as validated:
            good = _read(validated.good(window, "preview", dt.datetime.now(dt.UTC)))
            bad = _read(validated.bad(window, "preview", dt.datetime.now(dt.UTC)))
            return Sample(
                window=window,
                counts=validated.counts,
                other_days=validated.of_other_days,
                rows=good.slice(0, limit).to_pylist(),
                quarantined=bad.slice(0, limit).to_pylist(),
                nulls={
                    name: good[name].null_count for name in good.column_names if name not in LINEAGE_COLUMNS
                },
                fields={*fetched.fields, *(fetched.names or ())},
                failed=find_refused_days(
                    reader.source.source, table, fetched, validated, configured.ref, kept=False
                ),
                seconds=round(time.perf_counter() - began, 2),
            )


@contextmanager
def _staged(reader: Reader, window: Window, configured: Settings) -> Iterator[tuple[FetchResult, Path]]:
    with open_staging_folder(configured.staging, f"preview-{reader.table.name}") as folder:
        yield reader.fetch(window, configured.zone, folder), folder


def _read(rows: pa.Table | Sequence[Path]) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    return pa.concat_tables([pq.read_table(file) for file in rows])
