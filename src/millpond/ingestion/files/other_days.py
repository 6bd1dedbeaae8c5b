"""Rows of a file that are of another day than the file: what is said about them."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping

from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts

_log = logging.getLogger(__name__)


def advise_on_other_days(table: SourceTable) -> str:
    """Return how rows are loaded that are of another day than the name, or the time, of their file."""
    assert table.files
    path = table.files.path.replace("{date}", "*")
    return (
        f"if a file may have rows of other days, set date: data in files of {table.name}, with"
        f' path: "{path}", and each row is loaded into its own day'
    )


def warn_of_other_days(table: SourceTable, counts: Mapping[dt.date, Counts]) -> None:
    """Warn of rows that are left out, as they are of another day than their file."""
    outside = {day: found.outside for day, found in counts.items() if found.outside}
    if table.files and table.load == "days" and table.files.days_from != "data" and outside:
        _log.warning(
            "%s: %d rows of the files of %s are of other days than their file, and not loaded; %s",
            table.asset,
            sum(outside.values()),
            ", ".join(map(str, sorted(outside)[:5])) + (", …" if len(outside) > 5 else ""),
            advise_on_other_days(table),
        )
