"""Rows in quarantine: the climate entries, replays and discards of theirs, and what is kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from fake_source import DAY, Answer, FakeSource, reading
from millpond.ingestion.columns import Column
from millpond.ingestion.quarantine import count_rules
from millpond.ingestion.refused import refused_table
from millpond.ingestion.replay import Decision, replay
from millpond.ingestion.results import LoadResult
from millpond.partitions import Window
from source_tables import raw, table_of

NEXT = DAY + dt.timedelta(1)
GOOD = [reading(n) for n in range(100, 120)]
REFUSED = refused_table(table_of("climate_entries")[1])


def columns(**changes: Mapping[str, Any]) -> dict[str, Column]:
    """Return the columns of the climate entries, with changes by name."""
    declared = dict(table_of("climate_entries")[1].columns)
    for name, change in changes.items():
        declared[name] = declared[name].model_copy(update=dict(change))
    return declared


def settle(
    first: dt.date = DAY,
    last: dt.date | None = None,
    *,
    rule: str | None = None,
    discard: bool = False,
    previous: Mapping[dt.date, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> LoadResult:
    source, table = table_of("climate_entries", **changes)
    decision = Decision(rule, "main", "replay", discard=discard)
    return replay(source, table, Window.of_days(first, last or first), decision, previous or {})


def settle_without_maximum() -> None:
    settle(columns=columns(lux={"max": None}))


def kept(*names: str) -> list[Any]:
    return raw(*names, table=REFUSED, key="position")


def counts() -> list[tuple[dt.date, str | None, int, bool]]:
    _, table = table_of("climate_entries")
    return [(c.day, c.rule, c.rows, c.refused is not None) for c in count_rules([table], "main")]


def break_off(server: FakeSource) -> None:
    """Have the source answer nothing any more."""
    server.serve = lambda _: Answer(status=500)
    server.requests.clear()


def recorded(result: LoadResult) -> dict[dt.date, dict[str, Any]]:
    """Return what Dagster has on record after a load."""
    return {
        day.partition or DAY: {
            "version": day.content_hash,
            "rows_loaded": day.rows_loaded,
            "dagster/partition_row_count": day.rows_loaded,
            "rows_quarantined": day.rows_quarantined,
            "duplicates_dropped": day.duplicates_dropped,
            "rows_outside_window": day.rows_outside_window,
            "rows_discarded": day.discarded,
            "nulled_reasons": dict(day.nulled),
            "no_value_columns": dict(day.no_value),
        }
        for day in result.partitions
    }
