"""Which tables hooks and macros of a build may write to: those that no model makes and nothing loads."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_common.exceptions import DbtRuntimeError

from millpond.naming import LAYERS
from millpond.settings import settings
from millpond.transform.building import under_way
from millpond.transform.manifest import described

_LAYERS = [layer for layer in LAYERS if layer != "raw"]


def refuse_foreign(table: str) -> None:
    """Raise DbtRuntimeError for a table of a model or a source, which hooks do not write in a build."""
    layer = table.partition(".")[0]
    if owner := _makers().get(table):
        why, instead = f"{owner} makes it", "put it into the SQL of the model"
    elif layer not in _LAYERS:
        why, instead = f"{layer} is none of the layers {', '.join(_LAYERS)}", "write to one of them"
    else:
        return
    raise DbtRuntimeError(
        f"{table} was not written by a hook or macro: {why}; {instead}, or build by hand on a branch"
    )


def _makers() -> Mapping[str, str]:
    """Return which model makes each table; a build looks once, not at each of its statements."""
    build = under_way()
    if build and build.makers is not None:
        return build.makers
    projects = described(settings())
    every = projects.models().values() if projects else ()
    makers = {model.table: model.unique_id for model in every}
    if build:
        build.makers = makers
    return makers
