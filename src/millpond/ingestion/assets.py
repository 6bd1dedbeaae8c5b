"""The raw tables as Dagster assets `dlt_<table>`, one daily partition a day, a range of days in one run."""

import datetime as dt
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa

from millpond.errors import (
    BeyondReach,
    DayLeftOut,
    ListingIncomplete,
    MillpondError,
    PagingLoop,
    SourceMalformed,
    SourceMissing,
    SourceUnreachable,
)
from millpond.ingestion.columns import sql_type
from millpond.ingestion.left_out import describe, leave_out
from millpond.ingestion.materializations import done, materializations
from millpond.ingestion.origins import has_address
from millpond.ingestion.results import LoadResult
from millpond.ingestion.schema import list_lineage
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.instance.load_events import read_newest_events
from millpond.instance.record import NO_ADDRESS, REACH, RETENTION, UNFINISHED_TAG, WIPED, read_versions
from millpond.instance.unreachable import skip_days
from millpond.internals.dagster import CODE_VERSION_TAG, DATA_VERSION_TAG
from millpond.naming import MAIN_REF, agree, pluralize
from millpond.partitions import Window, contiguous, today
from millpond.redaction import redacted, without_excerpts
from millpond.resources.run import LEFT_OUT_TAG, RunInfo, daily_partitions
from millpond.resources.steps import TRANSIENT, build_retry_policy, interrupts_are_final
from millpond.settings import Settings, settings, source_files, variable

_WORTH_RETRYING = (SourceUnreachable, SourceMalformed, PagingLoop, ListingIncomplete, *TRANSIENT)
_SHOWN = 3
_FIRST = {"dagster/priority": "1"}
"""Loads run before models that wait for nothing either: dbt is loaded meanwhile, in the companion."""


def build_assets(
    sources: Sequence[SourceSpec], sensitive: Mapping[str, Collection[str]] | None = None
) -> list[dg.AssetsDefinition]:
    """Return one asset per table of `sources`; errors of assets with `sensitive` columns quote no row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # code references
        return [
            _asset(source, table, hide=bool((sensitive or {}).get(table.asset)))
            for source in sources
            for table in source.tables
        ]


def _asset(source: SourceSpec, table: SourceTable, *, hide: bool) -> dg.AssetsDefinition:
    configured = settings()

    @dg.asset(
        name=table.asset,
        partitions_def=daily_partitions(configured) if table.has_days else None,
        backfill_policy=dg.BackfillPolicy.single_run() if table.has_days else None,
        code_version=table.contract_version,
        group_name=table.group,
        kinds=set(table.kinds),
        owners=[table.owner] if table.owner else None,
        tags={"layer": "raw", **table.tags},
        op_tags=_FIRST,
        description=table.description or None,
        metadata={
            "dagster/table_name": table.raw_table,
            "dagster/column_schema": dg.TableSchema(columns=_columns(table)),
            "source": source.source,
            "quarantine": table.quarantine_table,
            **({REACH: table.window.reach.days} if table.window.reach else {}),
            **({RETENTION: table.retention.days} if table.retention else {}),
            **({} if has_address(source, configured) else {NO_ADDRESS: _describe_address(source)}),
            "dagster/code_references": dg.CodeReferencesMetadataValue(
                code_references=[
                    dg.LocalFileCodeReference(
                        file_path=str(configured.project / file.relative_to(configured.code))
                    )
                    for file in source_files(configured.code)
                    if file.stem == source.source
                ]
            ),
        },
        pool=table.pool,
        retry_policy=build_retry_policy(table.retries.max, table.retries.delay.total_seconds()),
    )
    def raw(context: dg.AssetExecutionContext) -> Iterator[Any]:
        began = dt.datetime.now(dt.UTC)
        with interrupts_are_final(context):
            loaded, failure = _attempt(context, source, table, without_excerpts if hide else str)
            if loaded:
                told = {"ref": RunInfo.of(context).ref}
                known = [day for day in loaded.partitions if _is_partition(day.partition, configured)]
                yield from materializations(context, known, told, began, configured.zone)
                yield from skip_days(context, _beyond_reach(loaded))
        if failure:
            raise failure
        yield done()

    return raw


def _describe_address(source: SourceSpec) -> str:
    return f"none: {variable('url', source.source)} is not set"


def _is_partition(day: dt.date | None, configured: Settings) -> bool:
    """Return whether Dagster has a partition for `day`; rows that changed may be of any day."""
    return day is None or configured.start_date <= day <= today(configured.zone)


def _attempt(
    context: dg.AssetExecutionContext, source: SourceSpec, table: SourceTable, show: Callable[[str], str]
) -> tuple[LoadResult | None, dg.Failure | None]:
    """Return what was loaded and the failure to report, which holds no exception that quotes a request."""
    from millpond.ingestion.acceptance import accept_held
    from millpond.ingestion.load import load  # brings in dlt, which takes longer than all the rest
    from millpond.ingestion.migration import migrate
    from millpond.ingestion.replay import Decision, replay

    try:
        run = RunInfo.of(context)
        if run.accept == "held" and run.window:
            loaded = accept_held(table, run.window, ref=run.ref, run_id=run.run_id)
        elif run.accept in ("replay", "discard") and run.window:
            decision = Decision(run.rule, run.ref, run.run_id, discard=run.accept == "discard")
            previous = _read_newest_loads(context, run.window, run.ref)
            loaded = replay(source, table, run.window, decision, previous)
        elif run.accept == "migrate" and run.window:
            previous = _read_newest_loads(context, run.window, run.ref)
            loaded = migrate(table, previous, ref=run.ref, run_id=run.run_id)
        else:
            shrink = run.accept == "shrink"
            loaded = load(
                source,
                table,
                run.window,
                ref=run.ref,
                run_id=run.run_id,
                accept_shrink=shrink,
                days_left_out=_find_left_out(context, table, run),
            )
            _tell_left_out(context, table, loaded)
    except MillpondError as error:
        return None, _failure(redacted(show(str(error))), [error], {})
    except (duckdb.Error, pa.ArrowException, ValueError, TypeError) as error:
        if show is str:
            raise
        text = f"{table.asset}: {type(error).__name__} (hidden, as the table has sensitive columns)"
        return None, dg.Failure(text, metadata={"error": type(error).__name__})
    left = (BeyondReach, DayLeftOut)
    failed = {day: error for day, error in loaded.failed.items() if not isinstance(error, left)}
    if not failed:
        return loaded, None
    errors = list(dict.fromkeys(failed.values()))
    days = ", ".join(map(str, contiguous(failed))) if table.has_days else "all"
    text = "\n".join(str(error) for error in errors[:_SHOWN])
    if len(errors) > _SHOWN:
        text += f"\n… and {len(errors) - _SHOWN} more like these"
    if loaded.partitions and run.window:
        others, all_days = len(loaded.partitions), pluralize(len(run.window), "day")
        text += f"\nThe other {others} of {all_days} {agree(others, 'were')} loaded."
    metadata: dict[str, Any] = {
        "days_loaded": len(loaded.partitions),
        "days_failed": days,
        "failures": dg.MetadataValue.json(_by_days(failed, show)),
    }
    return loaded, _failure(redacted(show(text)), errors, metadata)


def _find_left_out(
    context: dg.AssetExecutionContext, table: SourceTable, run: RunInfo
) -> dict[dt.date, DayLeftOut]:
    """Return the days that are not loaded: those that were wiped, and those that are not kept any more."""
    found: dict[dt.date, DayLeftOut] = {}
    if not table.has_days:
        return found
    if table.retention:
        configured = settings()
        oldest = today(configured.zone) - table.retention
        for number in range((oldest - configured.start_date).days):
            day = configured.start_date + dt.timedelta(days=number)
            found[day] = leave_out(
                table, day, f"older than its retention of {pluralize(table.retention.days, 'day')}"
            )
    if run.accept != "wiped":
        asset = context.asset_key.to_user_string()
        for one, version in read_versions(context.instance, [asset], run.ref)[asset].items():
            if one and version == WIPED:
                found[one] = leave_out(table, one, "it was wiped", " --accept-wiped")
    return found


def _tell_left_out(context: dg.AssetExecutionContext, table: SourceTable, loaded: LoadResult) -> None:
    """Name the days that were left out in the log and the tags of the run, which succeeds all the same.

    A run that repeats another begins with that one's tags.
    """
    days, sentences = describe(loaded.failed)
    for sentence in sentences:
        context.log.warning("%s: %s", table.asset, sentence)
    if days or f"{table.asset}: " in context.run.tags.get(LEFT_OUT_TAG, ""):
        run = context.instance.get_run_by_id(context.run.run_id) or context.run
        of_others = [
            each
            for each in run.tags.get(LEFT_OUT_TAG, "").split("; ")
            if each and not each.startswith(f"{table.asset}: ")
        ]
        said = "; ".join([*of_others, *([f"{table.asset}: {days}"] if days else [])])
        context.instance.add_run_tags(run.run_id, {LEFT_OUT_TAG: said})


def _read_newest_loads(
    context: dg.AssetExecutionContext, window: Window, ref: str
) -> dict[dt.date, dict[str, Any]]:
    """Return the metadata of each day's newest load on `ref`, else on main, with what `Previous` adds."""
    found = {}
    for on in dict.fromkeys((MAIN_REF, ref)):
        for day, event in read_newest_events(context.instance, context.asset_key, window, on).items():
            tags = event.tags or {}
            found[day] = {name: value.value for name, value in event.metadata.items()}
            found[day] |= {"version": tags.get(DATA_VERSION_TAG), "unfinished": UNFINISHED_TAG in tags}
            found[day]["contract"] = tags.get(CODE_VERSION_TAG)
    return found


def _beyond_reach(loaded: LoadResult) -> dict[dt.date, str]:
    """Return why days cannot be loaded any more: no failure, nobody can do anything about it."""
    return {
        day: redacted(error.what.partition(": ")[2] or error.what)
        for day, error in loaded.failed.items()
        if isinstance(error, BeyondReach)
    }


def _failure(text: str, errors: Sequence[MillpondError], metadata: dict[str, Any]) -> dg.Failure:
    kinds = ", ".join(sorted({type(error).__name__ for error in errors}))
    retry = any(isinstance(e, _WORTH_RETRYING) and not isinstance(e, SourceMissing) for e in errors)
    return dg.Failure(text, metadata={"error": kinds, **metadata}, allow_retries=retry)


def _by_days(failed: Mapping[dt.date, MillpondError], show: Callable[[str], str]) -> list[dict[str, str]]:
    """Return each error with the days it is about and its advice, for who goes on from there."""
    days: dict[MillpondError, list[dt.date]] = {}
    for day, error in failed.items():
        days.setdefault(error, []).append(day)
    return [
        {
            "days": str(window),
            "error": type(error).__name__,
            "reason": redacted(show(error.what)),
            "unharmed": redacted(error.unharmed),
            "next": redacted(error.next_step),
        }
        for error, about in days.items()
        for window in contiguous(about)
    ]


def _columns(table: SourceTable) -> list[dg.TableColumn]:
    declared = [
        dg.TableColumn(
            name,
            sql_type(column.type),
            column.description or None,
            dg.TableColumnConstraints(
                nullable=not (column.required or name in table.identifying),
                unique=table.key == (name,),
            ),
        )
        for name, column in table.columns.items()
    ]
    lineage = [
        dg.TableColumn(name, str(kind), text) for name, (kind, text) in list_lineage(table.has_days).items()
    ]
    return declared + lineage
