"""Which tables hooks and macros of a build may write to: those that no model makes and nothing loads."""

from __future__ import annotations

from dbt_common.exceptions import DbtRuntimeError

from millpond.naming import LAYERS
from millpond.settings import settings
from millpond.transform.manifest import described

_LAYERS = [layer for layer in LAYERS if layer != "raw"]


def refuse_foreign(table: str) -> None:
    """Raise DbtRuntimeError for a table of a model or a source, which hooks do not write in a build."""
    layer, projects = table.partition(".")[0], described(settings())
    every = projects.models().values() if projects else ()
    owner = next((model.unique_id for model in every if model.table == table), "")
    if owner:
        why, instead = f"{owner} makes it", "put it into the SQL of the model"
    elif layer not in _LAYERS:
        why, instead = f"{layer} is none of the layers {', '.join(_LAYERS)}", "write to one of them"
    else:
        return
    raise DbtRuntimeError(
        f"{table} was not written by a hook or macro: {why}; {instead}, or build by hand on a branch"
    )
