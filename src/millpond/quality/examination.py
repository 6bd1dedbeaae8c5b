"""One table's days under examination; what several checks need is read once, and only if one asks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cached_property
from typing import Any

import dagster as dg

from millpond.ingestion.spec import SourceTable
from millpond.instance.unreachable import find_skipped_days
from millpond.partitions import Window, latest_complete_day
from millpond.quality import recorded
from millpond.quality.coverage import coverage
from millpond.quality.day_counts import rows_per_day
from millpond.quality.latest import expected_day, latest, unjudged
from millpond.quality.reconciliation import reconciled
from millpond.quality.required import no_nulls
from millpond.quality.verdict import Verdict
from millpond.quality.volume import volume
from millpond.settings import settings

RECONCILIATION, VOLUME, LATEST, COVERAGE = "reconciliation", "volume", "latest_partition", "coverage"
NO_NULL = "no_null_"


class Examination:
    """The days `window` of `table` on `ref`, as the lake and Dagster's record show them."""

    def __init__(self, instance: dg.DagsterInstance, table: SourceTable, ref: str, window: Window) -> None:
        self._instance, self._table, self._ref, self._window = instance, table, ref, window
        self._asset = dg.AssetKey(table.asset)
        self._others: dict[str, Callable[[], Verdict]] = {
            RECONCILIATION: self._reconciliation,
            VOLUME: self._volume,
            LATEST: self._latest_partition,
            COVERAGE: self._coverage,
        }

    def verdict(self, check: str) -> Verdict:
        """Return what the check called `check` finds. Raises LakeError for what cannot be read."""
        if check.startswith(NO_NULL):
            return self._no_nulls[check.removeprefix(NO_NULL)]
        return self._others[check]()

    def _reconciliation(self) -> Verdict:
        loads = recorded.newest_loads(self._metadata)
        quarantined = rows_per_day(self._ref, self._table.quarantine_table, self._window)
        return reconciled(self._window, loads, self._raw_rows, quarantined)

    def _volume(self) -> Verdict:
        assert self._table.checks.volume
        return volume(self._complete_days, self._raw_rows, self._table.checks.volume)

    def _latest_partition(self) -> Verdict:
        configured = settings()
        now = dt.datetime.now(dt.UTC)
        expected = expected_day(now, self._table.checks.latest_within, configured.zone)
        days = recorded.loaded_days(self._instance, self._asset, self._ref)
        reason = unjudged(expected, self._window, self._ref)
        if expected in self._skipped:
            reason = f"{expected} is beyond the source's reach"
        return latest(expected, configured.start_date, days, reason)

    def _coverage(self) -> Verdict:
        assert self._table.checks.rows_per_day
        return coverage(self._complete_days, self._raw_rows, self._table.checks.rows_per_day)

    @cached_property
    def _raw_rows(self) -> dict[dt.date, int]:
        """Rows of the window's days and of as many before it as the check of volume looks back."""
        bounds = self._table.checks.volume
        before = dt.timedelta(days=bounds.history_days if bounds else 0)
        return rows_per_day(
            self._ref, self._table.raw_table, Window(self._window.start - before, self._window.end)
        )

    @cached_property
    def _no_nulls(self) -> dict[str, Verdict]:
        declared = any(c.no_value or c.on_bad == "null" for c in self._table.columns.values())
        metadata = self._metadata.values() if declared else ()
        return no_nulls(self._ref, self._table, self._window, recorded.declared_nulls(metadata))

    @cached_property
    def _metadata(self) -> dict[dt.date, dict[str, Any]]:
        """What the newest load of each day reported."""
        return recorded.newest_metadata(self._instance, self._asset, self._window, self._ref)

    @property
    def _complete_days(self) -> list[dt.date]:
        """The window's days without today, which is not over, and without those beyond the source's reach."""
        newest = latest_complete_day(settings().zone)
        return [
            day
            for day in self._window.days
            if day <= newest and not (day in self._skipped and not self._raw_rows.get(day))
        ]

    @cached_property
    def _skipped(self) -> set[dt.date]:
        return find_skipped_days(self._instance, [self._table.asset]).get(self._table.asset, set())
