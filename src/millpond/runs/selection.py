"""Resolves Dagster's selection syntax, with errors for names that do not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import dagster as dg
from dagster import DagsterInvalidSubsetError

from millpond.errors import ConfigError
from millpond.instance.record import NO_ADDRESS
from millpond.internals.dagster import AssetGraph, DagsterInvalidAssetSelectionError
from millpond.naming import selection_error, unknown_asset_error
from millpond.resources.run import MAINTENANCE, OWN_PARTITIONS

_EXAMPLES = (
    'for example dlt_glucose_entries, "dlt_glucose_entries*", group:silver, "*",'
    ' \'key:"fct_glucose_readings" or key:"dim_date"\''
)
_NAMED = re.compile(r"\b(key|group):\s*(?:\"([^\"]*)\"|([^\s()\"+]+))")
"""A name in an expression; Dagster ignores one that does not exist if others do."""
_WORD = re.compile(r"\w+")


def resolve_selection(selection: str, graph: AssetGraph) -> list[dg.AssetKey]:
    """Return the keys that `selection` selects, sorted; terms are separated by commas.

    What reads a source without an address is left out, see `leave_out_without_address`.
    Raises ConfigError for invalid syntax, and for unknown names with the nearest ones.
    """
    terms = [term.strip() for term in selection.split(",") if term.strip()]
    if not terms:
        raise ConfigError("the selection is empty", next_step=f"name assets, {_EXAMPLES}")
    found = set().union(*(_resolve_term(term, graph) for term in terms))
    return sorted(leave_out_without_address(found, graph, selection))


def leave_out_without_address(
    keys: Collection[dg.AssetKey], graph: AssetGraph, selection: str
) -> Collection[dg.AssetKey]:
    """Return `keys` without those that read a source without an address and that `selection` does not name.

    If nothing else is selected, all are returned, and loading them says what is not set.
    """
    named = set(_WORD.findall(selection))
    return {key for key in keys if key.path[-1] in named or NO_ADDRESS not in graph.get(key).metadata} or keys


def leave_out_unready(
    keys: Collection[dg.AssetKey],
    graph: AssetGraph,
    selection: str,
    find_made: Callable[[Collection[str]], Mapping[str, Collection[Any]]],
) -> tuple[list[dg.AssetKey], tuple[str, ...]]:
    """Return `keys` without those that cannot be built yet, sorted, and a sentence about each left out.

    That is what `selection` reaches without naming it, from something upstream, and that reads an asset which
    is neither selected nor was ever materialized: a model that joins this source with another one, which
    has not been loaded. `find_made` returns what was materialized of assets.
    """
    outside = {parent for key in keys for parent in graph.get(key).parent_keys} - set(keys)
    waiting = {key for key in outside & graph.materializable_asset_keys if not _is_built_along(key, graph)}
    read = sorted(key.to_user_string() for key in waiting)
    if not read:
        return sorted(keys), ()
    made = find_made(read)
    absent = {dg.AssetKey.from_user_string(name) for name in read if not made.get(name)}
    named, left_out, said = set(_WORD.findall(selection)), set[dg.AssetKey](), list[str]()
    for key in (key for key in graph.toposorted_asset_keys if key in keys and key.path[-1] not in named):
        parents = graph.get(key).parent_keys
        missing = sorted(parent.to_user_string() for parent in parents & (absent | left_out))
        if missing and parents & (set(keys) | left_out):
            left_out.add(key)
            if parents & absent:
                said.append(
                    f"{key.to_user_string()} is left out: it reads {', '.join(missing)}, never materialized"
                )
    return sorted(set(keys) - left_out), tuple(said)


def _is_built_along(key: dg.AssetKey, graph: AssetGraph) -> bool:
    """Return whether a model reads no source: what reads it builds it where it is missing."""
    node = graph.get(key)
    return "static" in node.tags or (not node.parent_keys and "dbt" in node.kinds)


def _resolve_term(term: str, graph: AssetGraph) -> set[dg.AssetKey]:
    _check_names(term, graph)
    try:
        found = dg.AssetSelection.from_string(term).resolve(graph)
    except DagsterInvalidAssetSelectionError as error:
        raise ConfigError(
            f"the selection {term!r} cannot be read",
            unharmed="everything; nothing was started",
            next_step=f"write it {_EXAMPLES}",
        ) from error
    except DagsterInvalidSubsetError as error:
        raise _unknown_error(term, graph) from error
    if not found:
        raise _unknown_error(term, graph)
    if tasks := {key for key in found if MAINTENANCE in graph.get(key).metadata}:
        found -= tasks
        if not found:
            names = " ".join(sorted(key.path[-1] for key in tasks))
            raise ConfigError(
                f"{term} selects maintenance, which is not materialized with data",
                unharmed="everything; nothing was started",
                next_step=f"`millpond maintain {names}`",
            )
    if not (materializable := found & graph.materializable_asset_keys):
        names = ", ".join(sorted(key.to_user_string() for key in found))
        raise ConfigError(
            f"nothing materializes {names}: it only shows what reads the assets above it",
            next_step=f'select those, for example "+{sorted(found)[0].to_user_string()}"',
        )
    if by_day := materializable - (
        apart := {key for key in materializable if has_other_partitions(key, graph)}
    ):
        return set(by_day)
    others = sorted(key.to_user_string() for key in apart)
    raise ConfigError(
        f"{', '.join(others)}: its partitions are not the days of daily_partitions()",
        unharmed="everything; nothing was started",
        next_step=f"`dg launch --assets {others[0]} --partition KEY`, or Dagster's pages",
    )


def has_other_partitions(key: dg.AssetKey, graph: AssetGraph) -> bool:
    """Return whether an asset has partitions, but not the platform's days."""
    return OWN_PARTITIONS in graph.get(key).metadata


def find_single_day_assets(keys: Iterable[dg.AssetKey], graph: AssetGraph) -> list[str]:
    """Return the assets that a run makes one day of: the project's own, without `single_run`."""
    return sorted(
        key.to_user_string()
        for key in keys
        if graph.get(key).is_partitioned and not takes_many_days(graph.get(key).backfill_policy)
    )


def takes_many_days(policy: dg.BackfillPolicy | None) -> bool:
    """Return whether one run of an asset with this policy can make several days."""
    return policy is not None and policy.max_partitions_per_run is None


def _check_names(term: str, graph: AssetGraph) -> None:
    """Raise ConfigError if an expression names an asset or a group that does not exist."""
    for kind, quoted, bare in _NAMED.findall(term):
        name = (quoted or bare).rstrip("*") if kind == "group" else quoted or bare
        if "*" in name:
            continue
        keys = graph.get_all_asset_keys()
        known = (
            name in {graph.get(key).group_name for key in keys}
            if kind == "group"
            else (dg.AssetKey.from_user_string(name) in keys)
        )
        if not known:
            raise _unknown_error(f"{kind}:{name}", graph)


def _unknown_error(term: str, graph: AssetGraph) -> ConfigError:
    keys = sorted(graph.get_all_asset_keys())
    names = [key.to_user_string() for key in keys]
    kind, _, value = term.rpartition(":")
    if kind == "group":
        known = sorted({graph.get(k).group_name for k in keys})
        near = [f"group:{name}" for name in difflib.get_close_matches(value, known, n=3, cutoff=0.5)]
        return selection_error(f"no asset is in the group {value!r}", near, known)
    if kind in ("", "key"):
        return unknown_asset_error(value.strip('*+"'), names)
    return selection_error(f"the selection {term!r} names no asset", [], names)
