"""Checks of raw tables as Dagster asset checks: one step per table, over the days of the run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from millpond.errors import MillpondError
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.naming import ref_name
from millpond.partitions import Window, check_window, latest_complete_day
from millpond.quality import required_columns
from millpond.quality.measures import CheckResult
from millpond.quality.table_checks import COVERAGE, LATEST, NO_NULL, RECONCILIATION, VOLUME, TableChecks
from millpond.redaction import redacted
from millpond.resources.run import partitions_of, ref_of
from millpond.resources.steps import LAKE_STEP, TRANSIENT, CheckEvents
from millpond.settings import settings
from millpond.transform.sensitive import HIDDEN

_Events = Iterator[dg.Output[Any] | dg.AssetCheckEvaluation]


def build_checks(
    sources: Sequence[SourceSpec], sensitive: Mapping[str, frozenset[str]] | None = None
) -> list[dg.AssetChecksDefinition]:
    """Return one step of checks per table of `sources`; `sensitive` are columns to hide, by asset."""
    hidden = sensitive or {}
    return [
        _build_table_checks(table, hidden.get(table.asset, frozenset()))
        for source in sources
        for table in source.tables
    ]


def _build_table_checks(table: SourceTable, hidden: frozenset[str]) -> dg.AssetChecksDefinition:
    specs = _build_specs(table)

    @dg.multi_asset_check(name=f"checks_{table.name}", specs=specs, can_subset=True, retry_policy=LAKE_STEP)
    def run_checks(
        context: dg.AssetCheckExecutionContext,
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckEvaluation]:
        selected = {key.name for key in context.selected_asset_check_keys}
        events = CheckEvents(context, before=False)
        try:
            window = _get_window(context) if table.has_days else None
            checks = TableChecks(context.instance, table, ref_name(ref_of(context.run.tags)), window)
            for spec in specs:
                if spec.name in selected:
                    result = _to_dagster(spec, checks.run(spec.name), hidden)
                    yield from events.of(result, blocking=spec.blocking)
        except MillpondError as error:
            raise dg.Failure(redacted(str(error)), allow_retries=isinstance(error, TRANSIENT)) from None

    return run_checks


def _build_specs(table: SourceTable) -> list[dg.AssetCheckSpec]:
    def spec(name: str, description: str, *, blocking: bool = False) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(name, asset=table.asset, description=description, blocking=blocking)

    found = [
        spec(
            RECONCILIATION,
            "Per day: rows in the source = loaded + quarantined + duplicates + out of range,"
            " and the lake has as many rows."
            if table.has_days and table.writes == "replace"
            else "The lake has as many rows as the newest load left there.",
            blocking=True,
        )
    ]
    for name, rule in required_columns.find_conditions(table).items():
        where = "" if rule == "true" else f" where {rule}"
        found.append(spec(f"{NO_NULL}{name}", f"{name} has a value in every row{where}.", blocking=True))
    if not table.has_days:
        return found
    if bounds := table.checks.volume:
        most = "" if bounds.at_most is None else f" to {bounds.at_most:g}"
        usual = f"the median of the {bounds.history_days} days before"
        text = f"A day has {bounds.at_least:g}{most} times as many rows as {usual}."
        found.append(spec(VOLUME, text))
    within = table.checks.latest_within.total_seconds() / 3600
    found.append(
        spec(
            LATEST,
            f"The latest complete day is loaded within {within:g} h of its end."
            " Skipped on branches and in runs over older days.",
        )
    )
    if rows := table.checks.rows_per_day:
        found.append(spec(COVERAGE, f"Reports the rows of a day as a share of {rows}; never fails."))
    return found


def _get_window(context: dg.AssetCheckExecutionContext) -> Window:
    """Return the days of the run; those of a run without partitions are the latest complete day."""
    configured, days = settings(), partitions_of(context.run.tags)
    if not days:
        return Window.of_day(latest_complete_day(configured.zone))
    return check_window(Window.parse(days), configured.start_date, configured.zone)


def _to_dagster(spec: dg.AssetCheckSpec, result: CheckResult, hidden: frozenset[str]) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(result.numbers)
    if result.samples:
        metadata["samples"] = _to_table(result, hidden)
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        description=redacted(result.summary),
        metadata=metadata,
    )


def _to_table(result: CheckResult, hidden: frozenset[str]) -> dg.TableMetadataValue:
    records = [
        {
            name: HIDDEN if name in hidden and value is not None else _to_table_value(value)
            for name, value in row.items()
        }
        for row in result.samples
    ]
    columns = [dg.TableColumn(name, "string") for name in records[0]]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in records], dg.TableSchema(columns=columns))


def _to_table_value(value: object) -> Any:
    return value if isinstance(value, int | float | bool | None) else redacted(str(value))
