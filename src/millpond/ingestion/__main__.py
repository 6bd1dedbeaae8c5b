"""Loads one table without Dagster: `python -m millpond.ingestion glucose_entries --partition 2026-11-01`."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Sequence

from millpond.errors import ConfigError, MillpondError, PartitionKeyError
from millpond.ingestion.load import load
from millpond.ingestion.reading import find_table, load_sources
from millpond.ingestion.results import LoadResult
from millpond.naming import pluralize, ref_name
from millpond.partitions import Window, check_window, latest_complete_day
from millpond.settings import settings

_COLUMNS = {
    "source": "rows_in_source",
    "loaded": "rows_loaded",
    "quarantined": "rows_quarantined",
    "duplicates": "duplicates_dropped",
    "outside": "rows_outside_window",
    "nulled": "values_nulled",
    "no value": "no_value_codes",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every day was loaded, 1 if one was not, 2 if the request itself is wrong."""
    parser = argparse.ArgumentParser(prog="python -m millpond.ingestion", description=__doc__)
    parser.add_argument("table", help="table or asset, for example glucose_entries")
    days = parser.add_mutually_exclusive_group()
    days.add_argument("--partition", help="a day, for example 2026-11-01; default: the latest complete one")
    days.add_argument("--range", help="days, both ends included, for example 2026-11-01...2026-11-30")
    parser.add_argument("--ref", help="ref to write to; default: the one of the settings")
    given = parser.parse_args(arguments)
    try:
        configured = settings()
        source, index = find_table(load_sources(configured), given.table)
        table = source.tables[index]
        window = Window.of_day(latest_complete_day(configured.zone)) if table.has_days else None
        if (text := given.partition or given.range) and table.has_days:
            window = check_window(Window.parse(text), configured.start_date, configured.zone)
        ref = ref_name(given.ref or configured.ref)
        done = load(source, table, window, ref=ref, run_id=f"manual-{uuid.uuid4().hex[:12]}")
    except MillpondError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program's output
        return 2 if isinstance(error, ConfigError | PartitionKeyError) else 1
    _show(done)
    return 1 if done.failed else 0


def _show(done: LoadResult) -> None:
    lines = [["day", *_COLUMNS]]
    lines += [
        [str(p.partition or "all"), *(str(getattr(p, f)) for f in _COLUMNS.values())] for p in done.partitions
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))  # noqa: T201
    print(f"{pluralize(len(done.partitions), 'day')} in {done.seconds:.2f} s")  # noqa: T201
    for error in dict.fromkeys(map(str, done.failed.values())):
        print(f"\n{error}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
