"""What is recorded of days that are wiped: marked in Dagster, and cleared of what may quote their rows."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import orjson
from dagster import DagsterInstance, DagsterRun

from millpond.errors import PartitionKeyError
from millpond.instance.promotion import report_materializations
from millpond.instance.record import EXPIRED, WIPED, database_key, parse_event
from millpond.internals.dagster import CODE_VERSION_TAG, DATA_VERSION_TAG
from millpond.naming import MAIN_REF
from millpond.partitions import contiguous, parse_windows
from millpond.resources.run import window_of
from millpond.runtime.databases import databases

_DETAILS = "its details were wiped"
_FORMER = """
    delete from event_logs where asset_key = any(%(assets)s) and partition = any(%(days)s) and id < %(before)s
        and dagster_event_type in
            ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION', 'ASSET_FAILED_TO_MATERIALIZE')
"""
_SAID = """
    delete from event_logs where run_id = any(%(runs)s) and (dagster_event_type is null
        or dagster_event_type in ('STEP_FAILURE', 'STEP_UP_FOR_RETRY', 'ENGINE_EVENT', 'HANDLED_OUTPUT',
            'STEP_OUTPUT', 'PIPELINE_FAILURE', 'HOOK_ERRORED'))
"""
_CHECKS = """
    select {id}, {event} from {table} where asset_key = any(%(assets)s) and {event} is not null
        and run_id = any(%(runs)s) {kind}
"""
_ALERTS = f"""
    update alerts set reason = '{_DETAILS}', unharmed = '', causes = '{{}}'
    where assets && %(names)s and reason <> '{_DETAILS}' and id = any(%(ids)s)
"""  # noqa: S608 - a constant of ours


_WHY = {
    WIPED: "its rows were wiped; it is loaded again only on request",
    EXPIRED: "its rows were removed, as they were older than the retention of the table",
}


def mark_removed(
    instance: DagsterInstance, days: Mapping[str, Collection[dt.date]], version: Literal["wiped", "expired"]
) -> int:
    """Record of the days of assets that they were wiped, or expired; returns how many materializations.

    Plans and automation leave such a day out.
    """
    now = dt.datetime.now(dt.UTC)
    return report_materializations(
        instance,
        [
            dg.AssetMaterialization(
                dg.AssetKey.from_user_string(asset),
                description=_WHY[version],
                metadata={version: f"{now:%Y-%m-%d %H:%M} UTC", "rows": 0, "ref": MAIN_REF},
                partition=str(day),
                tags={DATA_VERSION_TAG: version, CODE_VERSION_TAG: version},
            )
            for asset in sorted(days)
            for day in sorted(days[asset])
        ],
    )


def find_runs(
    runs: Iterable[DagsterRun], assets: Collection[str], days: Collection[dt.date]
) -> list[DagsterRun]:
    """Return those of `runs` that may have read or made rows of these days of the assets."""
    keys = {dg.AssetKey.from_user_string(asset) for asset in assets}
    found = []
    for run in runs:
        window, chosen = window_of(run.tags), run.asset_selection
        touched = window is None or any(day in window for day in days)
        if touched and (chosen is None or keys & chosen):
            found.append(run)
    return found


def clear_record(
    instance: DagsterInstance,
    assets: Collection[str],
    daily: Collection[str],
    days: Collection[dt.date],
) -> dict[str, int]:
    """Delete from Dagster's record and from alerts what may quote rows of these days; returns counts.

    That are former materializations of the `daily` assets, what runs over these days said, their output, and
    samples of checks; results of checks and the ends of runs stay.
    """
    runs = [run.run_id for run in find_runs(instance.get_runs(), assets, days)]
    keys = [database_key(asset) for asset in assets]
    values: dict[str, Any] = {"runs": runs, "assets": keys, "days": [str(day) for day in days]}
    found = {}
    with databases().dagster.connect() as connection:
        newest = connection.execute(
            "select coalesce(min(newest), 0) from (select max(id) as newest from event_logs"
            " where asset_key = any(%s) and partition = any(%s)"
            " and dagster_event_type = 'ASSET_MATERIALIZATION' group by asset_key, partition) as marks",
            ([database_key(asset) for asset in daily], values["days"]),
        ).fetchone()
        former = {**values, "assets": [database_key(asset) for asset in daily]}
        former["before"] = newest[0] if newest else 0
        found["materializations"] = connection.execute(_FORMER, former).rowcount
        connection.execute(
            "delete from asset_event_tags t where asset_key = any(%(assets)s)"
            " and not exists (select from event_logs e where e.id = t.event_id)",
            former,
        )
        found["events"] = connection.execute(_SAID, values).rowcount
        found["samples"] = sum(
            _clear_checks(connection, values, table, event, kind)
            for table, event, kind in (
                ("event_logs", "event", "and dagster_event_type = 'ASSET_CHECK_EVALUATION'"),
                ("asset_check_executions", "evaluation_event", ""),
            )
        )
    found["outputs"] = _delete_outputs(Path(instance.storage_directory()), runs)
    found["alerts"] = _clear_alerts(assets, days)
    return found


def _clear_checks(connection: Any, values: Mapping[str, Any], table: str, event: str, kind: str) -> int:
    """Take metadata and description out of results of checks, which may have samples of rows."""
    sql = _CHECKS.format(id="id", event=event, table=table, kind=kind)
    cleared = 0
    for number, body in connection.execute(sql, values).fetchall():
        document = parse_event(body)
        data = document["dagster_event"]["event_specific_data"]
        if not data.get("metadata") and not data.get("description"):
            continue
        data["metadata"], data["description"] = {}, None
        document["dagster_event"]["message"] = document["user_message"] = ""
        text = orjson.dumps(document).decode()
        connection.execute(f"update {table} set {event} = %s where id = %s", (text, number))  # noqa: S608
        cleared += 1
    return cleared


def _delete_outputs(storage: Path, runs: Iterable[str]) -> int:
    folders = [folder for run in runs if (folder := storage / run / "compute_logs").is_dir()]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _clear_alerts(assets: Collection[str], days: Collection[dt.date]) -> int:
    """Take the text out of alerts, notices and outcomes of backfills about these assets and days."""
    windows = list(contiguous(days))
    names = list(assets)
    with databases().ops.connect() as connection:
        rows = connection.execute("select id, partition from alerts where assets && %s", (names,)).fetchall()
        ids = [number for number, partition in rows if _concerns(partition, windows)]
        cleared = connection.execute(_ALERTS, {"names": names, "ids": ids}).rowcount
        connection.execute("update notices set reason = %s where assets && %s", (_DETAILS, names))
        connection.execute(
            "update backfill_partitions set reason = null where asset = any(%s) and day = any(%s)",
            (names, list(days)),
        )
    return int(cleared)


def _concerns(partition: str, windows: Iterable[Any]) -> bool:
    try:
        about = parse_windows(partition)
    except PartitionKeyError:
        return True
    return not about or any(day in one for each in windows for day in each.days for one in about)
