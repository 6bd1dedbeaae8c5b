"""Opens a home to the demo: a new one, or one that an older version filled with demo data alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa

from millpond.errors import OriginChanged
from millpond.ingestion.origins import tables_of_real_sources
from millpond.lake import read
from millpond.naming import MAIN_REF
from millpond.runtime.demo_source import (
    DEMO_USER,
    activity,
    glucose,
    is_demo_home,
    mark_demo_home,
    serves_demo,
)
from millpond.settings import Settings, source_names, variable

_RAW: Final = "raw."


def open_demo_home(settings: Settings) -> None:
    """Have the demo source stand in for sources without a URL in this home from now on.

    Raises OriginChanged if the home holds a raw row that the demo source did not make, or a source has an
    address and would bring some.
    """
    foreign = tables_of_real_sources()
    if not foreign and not is_demo_home(settings):
        raw = [name for name in read.list_tables(MAIN_REF) if name.startswith(_RAW)]
        foreign = [name for name in raw if not _is_demo_data(name)]
    if foreign:
        raise OriginChanged(
            f"this home holds data that the demo did not load ({', '.join(foreign)}): they are never mixed",
            unharmed="all that is there; nothing was loaded",
            next_step="run the demo in a home of its own: `MILLPOND_HOME=.millpond-demo millpond demo`",
        )
    if real := [name for name in source_names(settings.project) if not serves_demo(settings, name)]:
        named = ", ".join(variable("url", name) for name in real)
        raise OriginChanged(
            f"{named} is set, and the demo loads every source: demo and real data are never mixed",
            unharmed="all that is there; nothing was asked and nothing loaded",
            next_step=f"leave {named} out of the environment and .env for the demo; `millpond materialize"
            ' "*"` loads your own data, in a home without demo data (MILLPOND_HOME names it)',
        )
    mark_demo_home(settings)


def _is_demo_data(name: str) -> bool:
    """Return whether each row of a raw table has a key that the demo source gives to what it serves."""
    if name not in _ORIGINS:
        return False
    columns, is_made = _ORIGINS[name]
    return is_made(read.scan(MAIN_REF, name, columns=columns))


def _is_demo_glucose(rows: pa.Table) -> bool:
    return all(
        glucose.is_key(key, ms)
        for key, ms in zip(rows["_id"].to_pylist(), rows["date"].to_pylist(), strict=True)
    )


def _is_demo_activity(rows: pa.Table) -> bool:
    moments = rows["created_at"].to_pylist()
    return set(rows["actor_login"].to_pylist()) <= {DEMO_USER} and all(
        key == activity.key(int(moment.timestamp()))
        for key, moment in zip(rows["id"].to_pylist(), moments, strict=True)
    )


_ORIGINS: Final[Mapping[str, tuple[list[str], Callable[[pa.Table], bool]]]] = {
    "raw.glucose_entries": (["_id", "date"], _is_demo_glucose),
    "raw.github_user_events": (["id", "actor_login", "created_at"], _is_demo_activity),
}
