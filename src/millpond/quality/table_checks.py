"""The checks of one table's days; what several checks need is read once, and only if one needs it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cached_property
from typing import Any

import dagster as dg

from millpond.ingestion.spec import SourceTable
from millpond.instance.record import WIPED, read_versions
from millpond.instance.unreachable import find_skipped_days
from millpond.partitions import Window, latest_complete_day
from millpond.quality import load_records
from millpond.quality.measures import (
    CheckResult,
    check_latest,
    check_volume,
    compare_row_counts,
    count_rows,
    count_rows_per_day,
    explain_absence,
    find_expected_day,
    measure_coverage,
    reconcile,
)
from millpond.quality.required_columns import check_no_nulls
from millpond.settings import settings

RECONCILIATION, VOLUME, LATEST, COVERAGE = "reconciliation", "volume", "latest_partition", "coverage"
NO_NULL = "no_null_"


class TableChecks:
    """The checks of the days `window` of `table` on `ref`, from the lake and Dagster's records.

    A table without days has no window.
    """

    def __init__(
        self, instance: dg.DagsterInstance, table: SourceTable, ref: str, window: Window | None
    ) -> None:
        self._instance, self._table, self._ref, self._days = instance, table, ref, window
        self._asset = dg.AssetKey(table.asset)
        self._others: dict[str, Callable[[], CheckResult]] = {
            RECONCILIATION: self._reconciliation,
            VOLUME: self._volume,
            LATEST: self._latest_partition,
            COVERAGE: self._coverage,
        }

    def run(self, check: str) -> CheckResult:
        """Return the result of the check called `check`. Raises LakeError if the lake cannot be read."""
        if check.startswith(NO_NULL):
            return self._no_nulls[check.removeprefix(NO_NULL)]
        return self._others[check]()

    @property
    def _window(self) -> Window:
        assert self._days
        return self._days

    def _reconciliation(self) -> CheckResult:
        if self._days is None:
            reported = load_records.read_newest_row_count(self._instance, self._asset, self._ref)
            there = count_rows(self._ref, self._table.raw_table)
            return compare_row_counts({} if reported is None else {"all": reported}, {"all": there})
        if self._table.writes != "replace":
            counts = load_records.read_row_counts(self._metadata)
            return compare_row_counts(counts, {day: self._raw_rows.get(day, 0) for day in counts})
        loads = load_records.read_newest_loads(self._metadata)
        quarantined = count_rows_per_day(self._ref, self._table.quarantine_table, self._window)
        return reconcile(self._window, loads, self._raw_rows, quarantined)

    def _volume(self) -> CheckResult:
        assert self._table.checks.volume
        return check_volume(self._complete_days, self._raw_rows, self._table.checks.volume)

    def _latest_partition(self) -> CheckResult:
        configured = settings()
        now = dt.datetime.now(dt.UTC)
        expected = find_expected_day(now, self._table.checks.latest_within, configured.zone)
        days = load_records.read_loaded_days(self._instance, self._asset, self._ref)
        reason = explain_absence(expected, self._window, self._ref)
        if expected in self._unreachable_days:
            reason = f"the source no longer serves {expected}"
        return check_latest(expected, configured.start_date, days, reason)

    def _coverage(self) -> CheckResult:
        assert self._table.checks.rows_per_day
        return measure_coverage(self._complete_days, self._raw_rows, self._table.checks.rows_per_day)

    @cached_property
    def _raw_rows(self) -> dict[dt.date, int]:
        """Rows of the window's days, and of the days before it that the volume check compares with."""
        bounds = self._table.checks.volume
        before = dt.timedelta(days=bounds.history_days if bounds else 0)
        return count_rows_per_day(
            self._ref, self._table.raw_table, Window(self._window.start - before, self._window.end)
        )

    @cached_property
    def _no_nulls(self) -> dict[str, CheckResult]:
        declared = any(c.no_value or c.on_bad == "null" for c in self._table.columns.values())
        metadata = self._metadata.values() if declared else ()
        return check_no_nulls(self._ref, self._table, self._days, load_records.count_declared_nulls(metadata))

    @cached_property
    def _metadata(self) -> dict[dt.date, dict[str, Any]]:
        """What the newest load of each day reported."""
        if self._days is None:
            return {}
        return load_records.read_newest_metadata(self._instance, self._asset, self._window, self._ref)

    @property
    def _complete_days(self) -> list[dt.date]:
        """The window's days that are over, that the source still serves and that were not wiped."""
        newest = latest_complete_day(settings().zone)
        gone = self._unreachable_days | self._wiped_days
        return [
            day
            for day in self._window.days
            if day <= newest and not (day in gone and not self._raw_rows.get(day))
        ]

    @cached_property
    def _wiped_days(self) -> set[dt.date]:
        name, window = self._asset.to_user_string(), self._window
        versions = read_versions(self._instance, [name], self._ref, window.start, window.last)[name]
        return {day for day, version in versions.items() if day and version == WIPED}

    @cached_property
    def _unreachable_days(self) -> set[dt.date]:
        return find_skipped_days(self._instance, [self._table.asset]).get(self._table.asset, set())
