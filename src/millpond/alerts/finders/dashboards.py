"""Charts that lack a mart or a column of one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import MARTS, AssetFacts
from millpond.alerts.finders.event_log import find_materialized
from millpond.alerts.outbox import Connection, list_open_alerts, record, resolve
from millpond.bi.bundle import FOLDER, read_bundle
from millpond.bi.check import Problem, find_missing, read_mart_columns
from millpond.bi.columns import Use, find_uses
from millpond.errors import ConfigError
from millpond.settings import Settings

_KIND = "dashboard_broken"


def record_broken_dashboards(
    connection: Connection, settings: Settings, facts: AssetFacts, now: dt.datetime
) -> int:
    """Record the marts that charts of the project lack, or of which they lack a column; returns the new ones.

    Resolves those that lack nothing any more. A mart that was never published is not missing yet.
    """
    uses = _read_uses(settings)
    broken: dict[str, list[Problem]] = {}
    for problem in _find_problems(uses, facts) if uses else []:
        broken.setdefault(f"{MARTS}/{problem.mart}", []).append(problem)
    opened = {alert.assets[0]: alert for alert in list_open_alerts(connection, _KIND)}
    for asset in opened.keys() - broken.keys():
        resolve(connection, opened[asset], "All that the charts read is there.")
    new = sorted(broken.keys() - opened.keys())
    return record(connection, [_build_alert(asset, broken[asset], facts, now) for asset in new])


def _read_uses(settings: Settings) -> Sequence[Use]:
    folder = settings.project / FOLDER
    files = sorted(folder.rglob("*.yaml"))
    try:
        return _read_uses_once(folder, tuple((path, path.stat().st_mtime_ns) for path in files))
    except (ConfigError, FileNotFoundError):  # in the middle of an edit; `millpond bi check` has the error
        return ()


@lru_cache(1)
def _read_uses_once(folder: Path, _: tuple[tuple[Path, int], ...]) -> Sequence[Use]:
    return find_uses(read_bundle(folder))


def _find_problems(uses: Sequence[Use], facts: AssetFacts) -> list[Problem]:
    there = read_mart_columns()
    marts = {use.mart for use in uses}
    gone = {mart for mart in marts if facts.names and f"{MARTS}/{mart}" not in facts.names}
    absent = {f"{MARTS}/{mart}" for mart in marts - gone - there.keys()}
    dropped = {name.removeprefix(f"{MARTS}/") for name in (find_materialized(absent) if absent else ())}
    return [
        *find_missing([use for use in uses if use.mart in gone], {}, "models"),
        *find_missing([use for use in uses if use.mart in dropped | there.keys() - gone], there, "marts"),
    ]


def _build_alert(asset: str, problems: Sequence[Problem], facts: AssetFacts, now: dt.datetime) -> Alert:
    dashboards = sorted({title for problem in problems for title in problem.dashboards})
    key = f"{_KIND}:{asset}"
    return Alert(
        kind=_KIND,
        source=f"{key}:{now.isoformat()}",
        dedup_key=key,
        title=f"charts of {' and '.join(dashboards) or 'Superset'} cannot be shown",
        reason="\n".join(map(str, problems)),
        assets=(asset,),
        owners=facts.owners_of([asset]),
        tags=facts.tags_of([asset]),
    )
