"""What a build takes in beyond the models it was asked for, and what it refuses to begin with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from millpond.errors import BuildFailed, InputMissing
from millpond.lake import read
from millpond.naming import ref_option
from millpond.partitions import RANGE_SEPARATOR, Window
from millpond.transform.models import Model, Models, chosen, descendants


def with_inputs(
    every: Models, wanted: Sequence[Model], present: set[str], ref: str, window: Window | None
) -> list[Model]:
    """Return `wanted` and the static models they read that are not yet among the tables `present`.

    Raises InputMissing naming the asset to materialize first, if another table they read is missing.
    """
    chosen_ids = {model.unique_id for model in wanted}
    queue = list(wanted)
    for model in queue:
        for table, asset in model.sources.items():
            if table not in present:
                raise _missing(model.key, table, asset, ref, window)
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
                raise _missing(model.key, parent.table, parent.key, ref, window)
            chosen_ids.add(parent.unique_id)
            queue.append(parent)
    return chosen(every, chosen_ids)


def extra_days(
    every: Models, unique_ids: Iterable[str], window: Window | None, ref: str, present: set[str]
) -> dict[str, int]:
    """Return by how many days the batch of each model, by unique_id, is longer than the window.

    A model that looks back changes on the days after the window too, and so do the models that read it.
    Days that were not built before stay out: they are built when their turn comes.
    """
    extra: dict[str, int] = {}
    if window is None:
        return extra
    for model in chosen(every, unique_ids):
        if not model.look_back_days or model.table not in present:
            continue
        after = Window.of_days(window.end, window.last + dt.timedelta(days=model.look_back_days))
        if read.count(ref, model.table, window=after):
            for key in descendants(every, [model.unique_id]):
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


def _missing(model: str, table: str, asset: str, ref: str, window: Window | None) -> InputMissing:
    days = f" --range {window.start}{RANGE_SEPARATOR}{window.last}" if window else ""
    return InputMissing(
        f"model {model} reads {table}, which is not on ref {ref} yet",
        unharmed="every table; nothing was built",
        next_step=f"materialize {asset} first: millpond materialize {asset}{days}{ref_option(ref)}",
    )
