"""Wiping days: from every layer, mart and quarantine, from former versions, and from what is recorded."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterInstance, RunsFilter

from millpond import crash_points
from millpond.errors import BuildFailed, ConfigError, RefRefused
from millpond.ingestion.refused import name_refused_table
from millpond.instance.dead_runs import fail_dead_runs, find_dead_runs
from millpond.instance.home import open_instance
from millpond.instance.promotion import promote_observations
from millpond.instance.record import WIPED
from millpond.instance.state_retention import vacuum
from millpond.instance.wipe_record import clear_record, find_runs, mark_removed
from millpond.internals.dagster import IN_PROGRESS_RUN_STATUSES, AssetGraph
from millpond.lake import nessie, read, refs
from millpond.lake.ref_log import WIPE
from millpond.lake.removal import count_days, remove_days
from millpond.lake.wipe import Erased, Needed, erase, expire, find_needed
from millpond.naming import MAIN_REF
from millpond.partitions import Window
from millpond.publish.assets import GROUP as MARTS
from millpond.runs.run import materialize
from millpond.runs.selection import resolve_selection
from millpond.runs.undo import find_marts_with_table, publish_marts
from millpond.runtime.home import exclusive, layout
from millpond.settings import settings

_BRANCH, _DBT_ID = "wipe_", "dagster_dbt/unique_id"
_END_RUN = "wait until it has ended, or terminate it"


@dataclass(frozen=True)
class WipePlan:
    """What a wipe removes: `rows` by table; `rebuilt` are assets without days, with their tables.

    `assets` are the daily ones, `left` those selected that have no days, with the reason, and `stale` those
    downstream that were not selected, and still hold what was made from the rows.
    """

    selection: str
    window: Window
    assets: tuple[str, ...]
    rows: Mapping[str, int]
    rebuilt: Mapping[str, str]
    left: Mapping[str, str]
    stale: tuple[str, ...]


@dataclass(frozen=True)
class Wiped:
    """What a wipe did; `published` is None if there was no mart to publish."""

    plan: WipePlan
    erased: list[Erased]
    cleared: Mapping[str, int] = field(default_factory=dict)
    marts: tuple[str, ...] = ()
    published: bool | None = None
    staging: int = 0


def plan_wipe(selection: str, window: Window, definitions: dg.Definitions) -> WipePlan:
    """Return what a wipe of these days would remove. Raises ConfigError, RefRefused; changes nothing."""
    if nessie.is_used():
        raise ConfigError(
            "days cannot be wiped where Nessie keeps the pointers: its own history refers to the files",
            unharmed="everything; nothing was removed",
            next_step="materialize the days without the rows, then use nessie-gc",
        )
    graph = definitions.resolve_asset_graph()
    keys = [key for key in resolve_selection(selection, graph) if key.path[0] != MARTS]
    there, rows, daily = set(read.list_tables(MAIN_REF)), dict[str, int](), list[str]()
    rebuilt, left = dict[str, str](), dict[str, str]()
    for key in keys:
        name, table = key.to_user_string(), _get_table(graph, key)
        if graph.get(key).is_partitioned and not table:
            left[name] = "it has no table in the lake; remove its days yourself"
        elif graph.get(key).is_partitioned:
            daily.append(name)
            for each in list_tables_of(graph, key):
                if each in there:
                    rows[each] = sum(count_days(MAIN_REF, each, window).values())
        elif str(graph.get(key).metadata.get(_DBT_ID, "")).startswith("snapshot."):
            left[name] = (
                "it is a snapshot of dbt, which keeps the versions that it took;"
                " docs/retention.md says how to begin it anew"
            )
        elif table in there and graph.get(key).parent_keys:
            rebuilt[name] = table
        else:
            left[name] = (
                "it has no days, and is loaded or built whole; once its source has the rows no more:"
                f" `millpond materialize {name}`"
            )
    if not daily:
        raise ConfigError(
            f"no asset of {selection!r} has days",
            unharmed="everything; nothing was removed",
            next_step="select assets with days; `millpond materialize` builds the others again",
        )
    made = {dg.AssetKey.from_user_string(name) for name in daily}
    below = set(dg.AssetSelection.assets(*made).downstream().resolve(graph))
    rebuilt = {name: table for name, table in rebuilt.items() if dg.AssetKey.from_user_string(name) in below}
    chosen = {*made, *map(dg.AssetKey.from_user_string, rebuilt)}
    stale = [key for key in below - chosen if key.path[0] != MARTS and graph.get(key).is_materializable]
    built = [key.to_user_string() for key in stale if _get_table(graph, key) in there]
    built = [name for name in built if name not in left]
    return WipePlan(selection, window, tuple(daily), rows, rebuilt, left, tuple(sorted(built)))


def wipe(plan: WipePlan, definitions: dg.Definitions) -> Wiped:
    """Wipe what `plan` names; repeating a wipe that was killed finishes it.

    Readers see all tables with these days or all without them. Raises RefRefused, naming it, if a branch, a
    reader or a run still needs the rows, and BuildFailed if a table without days cannot be built again; then
    nothing was removed.
    """
    began, graph, days = dt.datetime.now(dt.UTC), definitions.resolve_asset_graph(), _list_days(plan)
    lock = layout(settings()).run / "wipe.lock"
    with exclusive(lock, doing="wiping days"), open_instance() as instance:
        _drop_leftovers()
        fail_dead_runs(instance)
        _drop_audits_of_ended_runs(instance)
        _refuse_runs(plan, instance)
        _refuse_needed(plan, days, "everything; nothing was removed")
        _remove(plan, definitions, instance)
        crash_points.reached("wipe.removed")
        mark_removed(instance, dict.fromkeys(plan.assets, plan.window.days), WIPED)
        changed = [dg.AssetKey.from_user_string(name) for name in (*plan.assets, *plan.rebuilt)]
        marts = find_marts_with_table(graph, changed, MAIN_REF)
        published = publish_marts(marts, definitions, MAIN_REF).success if marts else None
        versions = expire(days)
        crash_points.reached("wipe.expired")
        erased = erase(days, versions, began)
        _refuse_needed(plan, days, "main, which does not show them any more")
        names = [*plan.assets, *plan.rebuilt, *(key.to_user_string() for key in marts)]
        cleared = clear_record(instance, names, plan.assets, plan.window.days)
        staging = _clear_staging(plan, instance)
    vacuum(least=0)
    shown = tuple(key.to_user_string() for key in marts)
    return Wiped(plan, erased, cleared, shown, published, staging)


def find_obstacles(plan: WipePlan) -> list[Needed]:
    """Return what `wipe` would be refused for, such as the branch of a failed audit; changes nothing."""
    with open_instance() as instance:
        dead = {run.run_id for run, _ in find_dead_runs(instance)}
        runs = [run.run_id for run in _find_running(plan, instance) if run.run_id not in dead]
        dropped = {*_list_leftovers(), *_list_audits_of_ended_runs(instance, dead)}
    needed = find_needed(_list_days(plan), release_gone=False)
    return [
        *(Needed(f"run {run[:8]}", _END_RUN) for run in runs),
        *(each for each in needed if each.name.removeprefix("branch ") not in dropped),
    ]


def _list_days(plan: WipePlan) -> dict[str, list[dt.date] | None]:
    """Return the days of each table that are wiped; None: as it is built again whole."""
    return {**dict.fromkeys(plan.rows, plan.window.days), **dict.fromkeys(plan.rebuilt.values())}


def list_tables_of(graph: AssetGraph, key: dg.AssetKey) -> Iterator[str]:
    """Yield the table of an asset, and those of its rows in quarantine."""
    yield _get_table(graph, key)
    if quarantine := str(graph.get(key).metadata.get("quarantine", "")):
        yield quarantine
        yield name_refused_table(quarantine)


def _get_table(graph: AssetGraph, key: dg.AssetKey) -> str:
    return str(graph.get(key).metadata.get("dagster/table_name", ""))


def _find_running(plan: WipePlan, instance: DagsterInstance) -> list[dg.DagsterRun]:
    running = instance.get_runs(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    return find_runs(running, [*plan.assets, *plan.rebuilt], plan.window.days)


def _refuse_runs(plan: WipePlan, instance: DagsterInstance) -> None:
    if runs := _find_running(plan, instance):
        raise RefRefused(
            f"{plan.window} cannot be wiped: run {runs[0].run_id[:8]} is materializing some of it",
            unharmed="everything; nothing was removed",
            next_step=f"{_END_RUN}; then repeat the wipe",
        )


def _refuse_needed(plan: WipePlan, days: Mapping[str, list[dt.date] | None], unharmed: str) -> None:
    if needed := find_needed(days):
        raise RefRefused(
            f"{plan.window} cannot be wiped: its rows are still in {', '.join(each.name for each in needed)}",
            unharmed=unharmed,
            next_step=f"{'; '.join(each.remedy for each in needed)}; then repeat the wipe",
        )


def _list_leftovers() -> list[str]:
    """Return the branches of wipes that were killed, each after those that were created from it."""
    there, found = refs.list_refs(), list[str]()
    for ref in there[::-1]:
        if ref.name.startswith(_BRANCH) and ref.run_id == WIPE:
            found += [above.name for above in there if above.base == ref.name]
            found.append(ref.name)
    return list(dict.fromkeys(found))


def _drop_leftovers() -> None:
    for name in _list_leftovers():
        refs.drop(name)


def _list_audits_of_ended_runs(instance: DagsterInstance, dead: Collection[str] = ()) -> list[str]:
    """Return the audit branches of runs that were killed; those that a failed audit kept are left."""
    return [
        ref.name
        for ref in refs.list_refs()
        if ref.state == "audit"
        and (run := instance.get_run_by_id(ref.run_id))
        and (run.is_finished or run.run_id in dead)
    ]


def _drop_audits_of_ended_runs(instance: DagsterInstance) -> None:
    for name in _list_audits_of_ended_runs(instance):
        refs.drop(name)


def _remove(plan: WipePlan, definitions: dg.Definitions, instance: DagsterInstance) -> None:
    """Remove the rows and build what has no days again, on a branch that is then merged."""
    name = f"{_BRANCH}{os.getpid()}_{secrets.token_hex(4)}"
    branch = refs.create(name, MAIN_REF, f"wipe of {plan.window}", WIPE)
    try:
        remove_days(name, dict.fromkeys(plan.rows, plan.window.days), run_id=WIPE)
        if plan.rebuilt:
            selection = " or ".join(f'key:"{key}"' for key in plan.rebuilt)
            outcome = materialize(selection, None, instance=instance, definitions=definitions, ref=name)
            if not outcome.success:
                raise BuildFailed(
                    f"{', '.join(plan.rebuilt)} could not be built without the rows of {plan.window};"
                    f" run {outcome.run_id[:8]} says why",
                    unharmed="every table of main; nothing was removed",
                    next_step="correct it, or leave it out of the selection, and repeat the wipe",
                )
        merged = refs.merge(name, action=WIPE)
    except BaseException:
        _drop_leftovers()
        raise
    promote_observations(
        instance, name, MAIN_REF, since=branch.created_at, rebased=bool(merged.rebased), but=(MARTS,)
    )


def _clear_staging(plan: WipePlan, instance: DagsterInstance) -> int:
    """Delete what killed loads of these tables left, and what DuckDB did where nothing runs."""
    staging = layout(settings()).staging
    tables = {name.partition(".")[2] for name in plan.rows}
    left = [
        folder
        for table in tables
        for label in (table, f"preview-{table}")
        for folder in staging.glob(f"load-{label}-*")
    ]
    if not instance.get_runs(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES), limit=1):
        left += (staging / "duckdb").glob("*")
    for path in left:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(left)
