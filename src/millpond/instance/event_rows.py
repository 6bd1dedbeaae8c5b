"""The rows of events in Dagster's tables, in one statement: the log, tags, assets and results of checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import DagsterEventType, EventLogEntry

from millpond.internals.dagster import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    AssetCheckExecutionRecordStatus,
    split_record,
)

_EVENTS = """
with given as (
    select * from unnest(%(run_id)s::text[], %(event)s::text[], %(dagster_event_type)s::text[],
        %(timestamp)s::timestamp[], %(step_key)s::text[], %(asset_key)s::text[], %(partition)s::text[])
    with ordinality as given (run, event, kind, moment, step, asset, day, n)
), stored as (
    insert into event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    select run, event, kind, moment, step, asset, day from given order by n returning id
), numbered as (
    select given.*, id from (select id, row_number() over (order by id) as n from stored) as ids
    join given using (n)
)"""
"""Stores events in their order; the number of each is its place among them."""
_ASSETS = """, tags as (
    insert into asset_event_tags (event_id, asset_key, key, value, event_timestamp)
    select id, asset, key, value, moment
    from unnest(%(tagged)s::int[], %(tag)s::text[], %(tag_value)s::text[])
    with ordinality as tags (n, key, value, place) join numbered using (n) order by place
), assets as (
    insert into asset_keys as known
        (asset_key, last_materialization, last_run_id, last_materialization_timestamp)
    select asset,
        case when kind = 'ASSET_MATERIALIZATION'
            then %(record_start)s::text || event || %(record_middle)s::text || id || %(record_end)s::text end,
        case when kind in ('ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED') then run end,
        case when kind in ('ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED', 'ASSET_OBSERVATION')
            then moment at time zone 'UTC' end
    from numbered where n = any(%(last)s::int[]) order by asset
    on conflict (asset_key) do update set
        last_materialization = coalesce(excluded.last_materialization, known.last_materialization),
        last_run_id = coalesce(excluded.last_run_id, known.last_run_id),
        last_materialization_timestamp = excluded.last_materialization_timestamp
    where excluded.last_materialization_timestamp is not null
)"""
"""Stores what Dagster keeps of assets: in the order of their keys, as several processes do so at once."""
_CHECK_COLUMNS = (
    "asset_key, check_name, partition, run_id, execution_status, evaluation_event,"
    " evaluation_event_timestamp, evaluation_event_storage_id"
)
_PLANS = f""", planned as (
    insert into asset_check_executions ({_CHECK_COLUMNS})
    select of_asset, of_check, of_day, run, 'PLANNED', event, moment, id
    from unnest(%(planned)s::int[], %(planned_asset)s::text[], %(planned_check)s::text[],
        %(planned_day)s::text[]) with ordinality as plans (n, of_asset, of_check, of_day, place)
    join numbered using (n) order by place
)"""  # noqa: S608 - a constant of ours
_RESULTS = f""", results as (
    select numbered.*, of_asset, of_check, of_day, status, target
    from unnest(%(evaluated)s::int[], %(evaluated_asset)s::text[], %(evaluated_check)s::text[],
        %(evaluated_day)s::text[], %(status)s::text[], %(target)s::bigint[])
        as results (n, of_asset, of_check, of_day, status, target)
    join numbered using (n)
), expected as (
    update asset_check_executions as known
    set execution_status = status, evaluation_event = event, evaluation_event_timestamp = moment,
        evaluation_event_storage_id = results.id, materialization_event_storage_id = target
    from results where asset_key = of_asset and check_name = of_check and run_id = run and run <> ''
        and known.partition is not distinct from of_day
    returning n
), unexpected as (
    insert into asset_check_executions ({_CHECK_COLUMNS}, materialization_event_storage_id)
    select of_asset, of_check, of_day, run, status, event, moment, id, target
    from results where n not in (select n from expected) order by n
)"""  # noqa: S608 - a constant of ours
"""Stores a result in the row of its plan, or where nothing was planned in a row of its own."""

_Values = dict[str, Any]


def make_statement(
    events: Sequence[EventLogEntry],
    rows: Sequence[Mapping[str, Any]],
    tags: Iterable[Mapping[str, str]],
    defining: Sequence[bool],
) -> tuple[str, _Values]:
    """Return the statement that stores events with all that Dagster derives from them, and its values.

    `rows` are those of the log, `tags` the indexed tags of each event; `defining` says which of the events
    define the state of a check.
    """
    statement, values = _EVENTS, {name: [row[name] for row in rows] for name in rows[0]}
    numbered = list(enumerate(events, 1))
    last = {each.get_dagster_event().asset_key: n for n, each in numbered if _is_of_asset(each)}
    if last:
        statement, values = statement + _ASSETS, values | _describe_assets(list(last.values()), tags)
    checks = [(n, each) for (n, each), defines in zip(numbered, defining, strict=True) if defines]
    for part, found in _describe_checks(checks):
        statement, values = statement + part, values | found
    return f"{statement} select from numbered limit 0", values


def is_of_check(event: EventLogEntry) -> bool:
    """Return whether an event plans a check or has its result."""
    return event.dagster_event_type in ASSET_CHECK_EVENTS


def _is_of_asset(event: EventLogEntry) -> bool:
    found = event.dagster_event
    return event.dagster_event_type in ASSET_EVENTS and found is not None and found.asset_key is not None


def _describe_assets(last: Sequence[int], tags: Iterable[Mapping[str, str]]) -> _Values:
    found = [(n, *tag) for n, of_event in enumerate(tags, 1) for tag in of_event.items()]
    numbers, names, texts = zip(*found, strict=True) if found else ((), (), ())
    return {
        "tagged": list(numbers),
        "tag": list(names),
        "tag_value": list(texts),
        "last": last,
        **dict(zip(("record_start", "record_middle", "record_end"), split_record(), strict=True)),
    }


def _describe_checks(events: Iterable[tuple[int, EventLogEntry]]) -> Iterable[tuple[str, _Values]]:
    planned: list[tuple[Any, ...]] = []
    results: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for n, event in events:
        of: Any = event.get_dagster_event().event_specific_data
        asset = of.asset_key.to_string()
        if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            subset = of.partitions_subset
            days = subset.get_partition_keys() if subset else [None]
            planned += [(n, asset, of.check_name, day) for day in days]
        else:
            key = asset, of.check_name, of.partition
            results[event.run_id or n, *key] = n, *key, _get_status(of), _get_target(of)
    if planned:
        yield _PLANS, _turn(("planned", "planned_asset", "planned_check", "planned_day"), planned)
    if results:
        names = ("evaluated", "evaluated_asset", "evaluated_check", "evaluated_day", "status", "target")
        yield _RESULTS, _turn(names, results.values())


def _turn(names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> _Values:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _get_status(result: Any) -> str:
    status = (
        AssetCheckExecutionRecordStatus.SUCCEEDED if result.passed else AssetCheckExecutionRecordStatus.FAILED
    )
    return str(status.value)


def _get_target(result: Any) -> int | None:
    of = result.target_materialization_data
    return of.storage_id if of else None
