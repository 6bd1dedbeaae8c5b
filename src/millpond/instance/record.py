"""Reads Dagster's record of assets and their days, in one statement instead of one for each day."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

import dagster as dg
import orjson
from dagster import DagsterEventType, DagsterInstance, RunsFilter
from sqlalchemy import ColumnElement, Connection, Subquery, and_, case, func, or_, select

from millpond.instance.prepared import execute
from millpond.internals.dagster import CODE_VERSION_TAG, DATA_VERSION_TAG, INPUT_DATA_VERSION_TAG_PREFIX
from millpond.internals.dagster_on_demand import (
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
)
from millpond.naming import MAIN_REF
from millpond.resources.run import REF_TAG

MERGED_TAG = "millpond/merged_into"
"""Run tag with the ref that the branch of a run was merged into."""
UNFINISHED_TAG = "millpond/unfinished"
"""Tag of a materialization of a day that had not ended when its load began."""
UNDONE = "undone"
"""Data version of a day whose rows an undo removed; metadata of what an undo recorded: the commit undone."""
WIPED: Final = "wiped"
"""Data version of a day that was wiped; metadata of its materialization: when."""
DAYS_BEYOND_REACH = "days_beyond_reach"
"""Metadata of a failed load: windows, separated by commas, that the source no longer serves."""
RETENTION = "retention_days"
"""Metadata of an asset: how many days back its days are kept, if that is declared."""
EXPIRED: Final = "expired"
"""Data version of a day that its retention removed; metadata of its materialization: when."""
REACH = "reach_days"
"""Metadata of an asset: how many days back its source serves data, if limited."""
NO_ADDRESS = "address"
"""Metadata of an asset that reads a source without an address: the variables that are not set."""

_VERSIONS = """
select newest.asset_key, newest.partition, value, exists (
    select from asset_keys
    where asset_key = any(%(wholly)s::text[] || %(by_day)s::text[]) and wipe_timestamp is not null
) from (
    select asset_key, partition, max(id) as id from event_logs
    where asset_key = any(%(wholly)s::text[]) and dagster_event_type = 'ASSET_MATERIALIZATION'
    group by asset_key, partition
    union all
    select asset_key, partition, max(id) from event_logs
    where asset_key = any(%(by_day)s::text[]) and dagster_event_type = 'ASSET_MATERIALIZATION'
    and partition between %(first)s::text and %(last)s::text group by asset_key, partition
) as newest left join asset_event_tags on event_id = newest.id and key = %(tag)s::text"""
"""The state of main: key, partition and data version of days, and whether any of the assets was wiped."""

Day = dt.date | None
"""A partition; None stands for the whole of an asset without partitions."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EVENTS, _TAGS = SqlEventLogStorageTable.c, AssetEventTagsTable.c


class LatestMaterialization(NamedTuple):
    """The latest materialization of a day: its event id, time (UTC), data version, code version and inputs.

    `made_from` has a line `asset=version` for each parent, see `provenance.Edge.version`. `unfinished` is
    true if its load began before the day had ended.
    """

    id: int
    at: dt.datetime | None = None
    version: str = ""
    code: str = ""
    made_from: str = ""
    unfinished: bool = False

    @property
    def inputs(self) -> dict[str, str]:
        """The versions of its parents."""
        return dict(line.split("=", 1) for line in self.made_from.splitlines())


def is_indexed(tag: str) -> bool:
    """Return whether a tag of materializations is stored in its own row, for queries."""
    return tag in (DATA_VERSION_TAG, CODE_VERSION_TAG, UNFINISHED_TAG) or tag.startswith(
        INPUT_DATA_VERSION_TAG_PREFIX
    )


def read_latest(
    instance: DagsterInstance, assets: Collection[str], ref: str
) -> dict[str, dict[Day, LatestMaterialization]]:
    """Return the latest materialization of each day of `assets` on `ref`.

    Raises RefNotFound.
    """
    names = {database_key(asset): asset for asset in assets}
    made: dict[str, dict[Day, LatestMaterialization]] = {asset: {} for asset in assets}
    from_what = case(
        (
            _TAGS.key.startswith(INPUT_DATA_VERSION_TAG_PREFIX),
            func.substr(_TAGS.key, len(INPUT_DATA_VERSION_TAG_PREFIX) + 2).concat("=").concat(_TAGS.value),
        )
    )
    with asset_connection(instance) as conn:
        newest = _newest(conn, names, _condition(instance, ref))
        statement = (
            select(
                *(func.min(newest.c.asset_key), func.min(newest.c.partition), newest.c.id),
                *(func.max(_TAGS.event_timestamp), _value(DATA_VERSION_TAG), _value(CODE_VERSION_TAG)),
                *(func.string_agg(from_what, "\n"), _value(UNFINISHED_TAG)),
            )
            .join(AssetEventTagsTable, _TAGS.event_id == newest.c.id, isouter=True)
            .group_by(newest.c.id)  # a number sorts in half the time that two texts do
        )
        rows = conn.execute(statement).fetchall()
    for key, partition, event, at, version, code, inputs, unfinished in rows:
        if not _is_day(partition):
            continue
        made[names[key]][_day(partition)] = LatestMaterialization(
            event, at, version or "", code or "", inputs or "", unfinished is not None
        )
    return made


def read_versions(
    instance: DagsterInstance,
    assets: Collection[str],
    ref: str,
    first: dt.date | None = None,
    last: dt.date | None = None,
    wholly: Collection[str] = (),
) -> dict[str, dict[Day, str]]:
    """Return the data version of each day of `assets` on `ref`, from `first` to `last` if given.

    Of the assets `wholly` it is each day's in any case.
    """
    by_day = {database_key(asset): asset for asset in assets} if first else {}
    whole = {database_key(asset): asset for asset in (wholly if first else {*assets, *wholly})}
    names = by_day | whole
    found: dict[str, dict[Day, str]] = {asset: {} for asset in names.values()}
    home = connect_to_home(instance.event_log_storage) if ref == MAIN_REF else None
    with home or asset_connection(instance) as conn:
        rows: Sequence[Any] = ()
        if home:
            values = {"wholly": [*whole], "by_day": [*by_day], "first": str(first), "last": str(last)}
            rows = execute(conn, _VERSIONS, values | {"tag": DATA_VERSION_TAG}).fetchall()
        if home is None or (rows and rows[0][3]):
            of_days = _EVENTS.asset_key.in_(whole) | _EVENTS.partition.between(str(first), str(last))
            rows = _read_versions(conn, _newest(conn, names, _condition(instance, ref) & of_days))
    for key, partition, version, *_ in rows:
        if _is_day(partition):
            found[names[key]][_day(partition)] = version or ""
    return found


def connection(instance: DagsterInstance) -> Any:
    """Return a context that holds a connection to the event log of `instance`."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    return storage.index_connection()


def asset_connection(instance: DagsterInstance) -> Any:
    """Return a context that holds a connection for reading the state of assets, see HomeEventLogStorage."""
    return connect_to_home(instance.event_log_storage) or connection(instance)


def connect_to_home(storage: Any) -> AbstractContextManager[Connection] | None:
    """Return a context that holds a home's connection for the state of assets; None for other storages."""
    connect = getattr(storage, "asset_connection", None)
    return connect() if connect else None


def database_key(asset: str) -> str:
    """Return an asset's key as stored in Dagster's tables."""
    return dg.AssetKey.from_user_string(asset).to_string()


def run_ids(instance: DagsterInstance, ref: str, since: dt.datetime) -> list[str]:
    """Return the runs on a branch, and those on branches that were merged into it."""
    found: list[str] = []
    for tag in (REF_TAG, MERGED_TAG):
        found += instance.run_storage.get_run_ids(RunsFilter(tags={tag: ref}, created_after=since))
    return list(dict.fromkeys(found))


def _newest(conn: Connection, names: Collection[str], condition: ColumnElement[bool]) -> Subquery:
    """Return the latest event of each day of the assets with these keys that meets `condition`."""
    return (
        select(_EVENTS.asset_key, _EVENTS.partition, func.max(_EVENTS.id).label("id"))
        .where(_EVENTS.asset_key.in_(names), condition, *_after_wipe(conn, names))
        .group_by(_EVENTS.asset_key, _EVENTS.partition)
        .subquery()
    )


def _read_versions(conn: Connection, newest: Subquery) -> Sequence[Any]:
    """Return key, partition and data version of each of these events."""
    of_data = and_(_TAGS.event_id == newest.c.id, _TAGS.key == DATA_VERSION_TAG)
    statement = select(newest.c.asset_key, newest.c.partition, _TAGS.value)
    return conn.execute(statement.join(AssetEventTagsTable, of_data, isouter=True)).fetchall()


def _value(tag: str) -> ColumnElement[str | None]:
    return func.max(case((_TAGS.key == tag, _TAGS.value)))


def _condition(instance: DagsterInstance, ref: str) -> ColumnElement[bool]:
    """Return the condition for events that define the state of assets on `ref`.

    On main, these are materializations. On a branch: the observations of its runs, and the state of its base
    when the branch was created.
    """
    from millpond.lake import refs  # brings in the lake, which main's record can do without

    condition: list[ColumnElement[bool]] = []
    before: list[ColumnElement[bool]] = []
    while ref != MAIN_REF:
        branch = refs.get_branch(ref)
        ids = run_ids(instance, ref, branch.created_at)
        seen = _EVENTS.dagster_event_type == DagsterEventType.ASSET_OBSERVATION.value
        condition.append(and_(seen, _EVENTS.run_id.in_(ids), *before))
        before = [_EVENTS.timestamp < branch.created_at.astimezone(dt.UTC).replace(tzinfo=None)]
        ref = branch.base or MAIN_REF
    made = _EVENTS.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value
    return or_(*condition, and_(made, *before))


def _after_wipe(conn: Connection, names: Collection[str]) -> list[ColumnElement[bool]]:
    """Return conditions that exclude events of assets from before they were wiped."""
    table = AssetKeyTable.c
    wiped = conn.execute(
        select(table.asset_key, table.wipe_timestamp).where(
            table.asset_key.in_(names), table.wipe_timestamp.is_not(None)
        )
    ).fetchall()
    return [or_(_EVENTS.asset_key != asset, _EVENTS.timestamp > at) for asset, at in wiped]


def _is_day(partition: str | None) -> bool:
    """Return whether a partition is a day or none at all; assets of a project may have others."""
    return partition is None or _DATE.fullmatch(partition) is not None


def _day(partition: str | None) -> Day:
    return None if partition is None else dt.date.fromisoformat(partition)


def parse_event(event: str) -> dict[str, Any]:
    """Return a stored event; NaN and infinity are None in it, and halves of characters are `?`."""
    try:
        found: dict[str, Any] = orjson.loads(event)
    except orjson.JSONDecodeError:
        found = _clean(json.loads(event))
    return found


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value
