"""What a build adds to the selected models, and what it refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from millpond.errors import BuildFailed, ConfigError, InputMissing
from millpond.lake import read
from millpond.naming import ref_option
from millpond.partitions import Window
from millpond.settings import settings
from millpond.transform.manifest import ParsedProject, load_project
from millpond.transform.models import Model, Models, choose_models, find_descendants, find_upstream, is_daily


def add_inputs(
    every: Models, wanted: Sequence[Model], present: set[str], ref: str, window: Window | None
) -> list[Model]:
    """Return `wanted` and the static models they read that are not yet among the tables `present`.

    Raises InputMissing, which names the asset to materialize first, if another table they read is missing.
    """
    chosen_ids = {model.unique_id for model in wanted}
    queue = list(wanted)
    for model in queue:
        for table, asset in model.sources.items():
            if table not in present:
                raise _missing_input_error(model.key, table, asset, ref, window)
        for parent in (every[key] for key in model.parents if key in every and key not in chosen_ids):
            if parent.table in present:
                continue
            if parent.refused:
                raise InputMissing(
                    f"model {model.key} reads {parent.key}, which is refused: {parent.refused}",
                    unharmed="every table; nothing was built",
                    next_step=f"change {parent.unique_id} as it says",
                )
            if not parent.static:
                raise _missing_input_error(model.key, parent.table, parent.key, ref, window)
            chosen_ids.add(parent.unique_id)
            queue.append(parent)
    return choose_models(every, chosen_ids)


def find_extra_days(
    every: Models, unique_ids: Iterable[str], window: Window | None, ref: str, present: set[str]
) -> dict[str, int]:
    """Return by how many days the batch of each model, by unique_id, is longer than the window.

    A model that looks back also changes on the days after the window, and so do the models that read it.
    Days that have not been built are left out: they are built later.
    """
    extra: dict[str, int] = {}
    if window is None:
        return extra
    for model in choose_models(every, unique_ids):
        if not model.look_back_days or model.table not in present:
            continue
        after = Window.of_days(window.end, window.last + dt.timedelta(days=model.look_back_days))
        if read.count(ref, model.table, window=after):
            for key in find_descendants(every, [model.unique_id]):
                extra[key] = max(extra.get(key, 0), model.look_back_days)
    return extra


def refuse_without_window(wanted: Sequence[Model], window: Window | None) -> None:
    """Raise BuildFailed if there are daily models but no window to build them for."""
    daily = [model.key for model in wanted if model.daily]
    if daily and window is None:
        raise BuildFailed(
            f"{', '.join(daily)} cannot be built without a window",
            unharmed="every table",
            next_step="name a partition or a range of them",
        )


@dataclass(frozen=True)
class FullRefresh:
    """The assets and days of a full refresh; `kept` are models with `full_refresh: false`."""

    assets: list[str]
    kept: list[str]
    window: Window | None


def plan_full_refresh(assets: Iterable[str], ref: str) -> FullRefresh:
    """Return the full refresh of `assets`, which are models and marts. Raises ConfigError for others."""
    parsed, assets = load_project(settings()), list(assets)
    nodes, by_key = parsed.document()["nodes"], {model.key: model for model in parsed.models().values()}
    if others := [name for name in assets if name not in by_key and not name.startswith("marts/")]:
        raise ConfigError(
            f"{', '.join(others)} cannot be fully refreshed: only models of dbt can",
            unharmed="everything; nothing was started",
            next_step='select models alone, for example "stg_glucose_entries*"',
        )
    kept = [
        name
        for name, model in by_key.items()
        if name in assets and model.daily and nodes[model.unique_id]["config"].get("full_refresh") is False
    ]
    refreshed = [name for name in assets if name not in kept]
    if not refreshed:
        raise ConfigError(
            f"{', '.join(kept)} is never fully refreshed: its config says full_refresh: false",
            unharmed="everything; nothing was started",
            next_step="leave out --full-refresh, or change the config",
        )
    window = find_days_with_rows(parsed, [by_key[name] for name in refreshed if name in by_key], ref)
    return FullRefresh(refreshed, kept, window)


def find_days_with_rows(parsed: ParsedProject, wanted: Iterable[Model], ref: str) -> Window | None:
    """Return the days that have rows in the daily models among `wanted`, or in what they read."""
    document, present, days = parsed.document(), set(read.list_tables(ref)), set()
    nodes = {**document["nodes"], **document["sources"]}
    daily = [nodes[model.unique_id] for model in wanted if model.daily]
    for key in {key for node in daily for key in (node["unique_id"], *find_upstream(node, document))}:
        node = nodes[key]
        table = f"{node['schema']}.{node.get('alias') or node['identifier']}"
        column = node["config"].get("event_time")
        if column and table in present and (is_daily(node) or key.startswith("source.")):
            days |= set(read.scan(ref, table, columns=[column])[column].unique().to_pylist())
    days.discard(None)
    return Window.of_days(min(days), max(days)) if days else None


def refuse_partial_refresh(
    parsed: ParsedProject, wanted: Sequence[Model], window: Window | None, ref: str
) -> None:
    """Raise BuildFailed if a full refresh over `window` would lose days that have rows."""
    needed = find_days_with_rows(parsed, wanted, ref)
    if needed and not (window and window.start <= needed.start and needed.end <= window.end):
        names = ", ".join(model.key for model in wanted if model.daily)
        raise BuildFailed(
            f"a full refresh of {names} over {window} would lose other days: there are rows for {needed}",
            unharmed="every table",
            next_step="use `millpond materialize … --full-refresh` without --partition and --range",
        )


def _missing_input_error(model: str, table: str, asset: str, ref: str, window: Window | None) -> InputMissing:
    days = f" {window.option}" if window else ""
    return InputMissing(
        f"model {model} reads {table}, which does not exist on ref {ref} yet",
        unharmed="every table; nothing was built",
        next_step=f"materialize {asset} first: millpond materialize {asset}{days}{ref_option(ref)}",
    )
