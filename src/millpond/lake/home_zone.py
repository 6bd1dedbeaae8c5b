"""The time zone in which the days of a home begin: recorded with its first rows, then kept.

A row's day is computed once, when it is loaded. In another zone, the hours between the old and the new
midnights would be loaded into two days, or into none.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import tuple_row

from millpond.errors import ZoneChanged
from millpond.partitions import instant
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow
from millpond.settings import settings, variable

_FIRST, _LAST = dt.date(2000, 1, 1), dt.date(2050, 1, 1)
"""Days that a partition can be, see MILLPOND_START_DATE."""

verified: set[tuple[Path, int, str]] = set()
"""Homes, by port of their Postgres, that have recorded this zone: it does not change any more."""


def refuse_other_zone() -> None:
    """Raise ZoneChanged if this home's days were loaded in another zone than the one that is set.

    Costs a statement, and none once this process knows the recorded zone.
    """
    if _get_cache_key(databases().ops.port) not in verified:
        with borrow(databases().ops) as connection:
            check_zone(connection)


def zone_error() -> ZoneChanged | None:
    """Return the error that keeps anything from being loaded or built in the configured time zone, if any."""
    try:
        refuse_other_zone()
    except ZoneChanged as error:
        return error
    return None


def check_zone(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a zone is recorded. Raises ZoneChanged if it is not the configured one."""
    key = _get_cache_key(connection.info.port)
    if key in verified:
        return True
    zone, recorded = settings().timezone, _read_zone(connection)
    if recorded is None:
        return False
    if not have_same_days(recorded, zone):
        name = variable("timezone")
        raise ZoneChanged(
            f"the days of this home begin at midnight in {recorded}, and {name} is now {zone}",
            unharmed="all that was loaded and built; no source was requested and nothing was written",
            next_step=f"set {name}={recorded} again, in .env to keep it set; for days in {zone}, load the"
            " data into a home of its own (MILLPOND_HOME)",
        )
    verified.add(key)
    return True


def record_zone() -> None:
    """Record the configured zone before the first rows of this home are written.

    Raises ZoneChanged if another process recorded another one meanwhile.
    """
    if _get_cache_key(databases().ops.port) in verified:
        return
    with borrow(databases().ops) as connection:
        connection.execute(
            "insert into home_zone (zone) values (%s) on conflict do nothing", (settings().timezone,)
        )
        check_zone(connection)


def have_same_days(one: str, other: str) -> bool:
    """Return whether days begin at the same instants in both zones, as in Asia/Calcutta and Asia/Kolkata."""
    if one == other:
        return True
    zones = ZoneInfo(one), ZoneInfo(other)
    days = (_FIRST + dt.timedelta(days=number) for number in range((_LAST - _FIRST).days + 1))
    return all(instant(day, zones[0]) == instant(day, zones[1]) for day in days)


def _read_zone(connection: psycopg.Connection[Any]) -> str | None:
    found = connection.cursor(row_factory=tuple_row).execute("select zone from home_zone").fetchone()
    return str(found[0]) if found else None


def _get_cache_key(port: int) -> tuple[Path, int, str]:
    return settings().home, port, settings().timezone
