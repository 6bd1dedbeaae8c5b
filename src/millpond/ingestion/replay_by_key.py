"""Replay of tables whose rows are written by key: rows that pass are merged as a load merges them."""

from __future__ import annotations

import time
from pathlib import Path

from millpond.ingestion.load import find_added
from millpond.ingestion.quarantine import read_quarantine, select_rule
from millpond.ingestion.results import PartitionResult
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.stored_rows import by_day, stage_rows
from millpond.ingestion.upsert import Settled, upsert
from millpond.ingestion.validated_rows import Counts
from millpond.ingestion.validation import validate_rows
from millpond.lake.hashing import compute_digests
from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window
from millpond.settings import settings


def replay_by_key(
    table: SourceTable, days: Window, rule: str | None, folder: Path, *, ref: str, run_id: str
) -> list[PartitionResult]:
    """Merge the rows of `days` in quarantine that pass today's contract into the raw table, in one commit.

    Returns `days`, and others whose rows changed. Raises RowsChanged if others changed the quarantine
    meanwhile, LakeError, PartitionConflict.
    """
    began = time.perf_counter()
    stored = read_quarantine(table, ref, days)
    rows = stored.filter(select_rule(stored, rule))
    rows = rows.sort_by([(PARTITION_COLUMN, "ascending"), ("payload", "ascending")])
    staged = stage_rows(table, rows, days, folder)
    typed = by_day(table, staged.fields, ref, {}).model_copy(update={"load": "changes"})  # of any day
    added, zone = find_added(typed, staged.fields, ref), settings().zone
    with validate_rows(typed, staged, days, zone, added, folder / "judged") as validated:
        settled = Settled(rows["payload"], compute_digests(stored, PARTITION_COLUMN), days)
        merged = upsert(typed, validated, days, ref=ref, run_id=run_id, settled=settled)
    seconds = (time.perf_counter() - began) / len(days)
    return [
        PartitionResult.by_key(day, validated.counts.get(day, Counts()), merged, seconds)
        for day in sorted({*days.days, *merged.changed})
    ]
