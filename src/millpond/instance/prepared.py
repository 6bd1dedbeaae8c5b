"""Statements that runs repeat: Postgres parses and plans each once for a connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from typing import Any, Final

from sqlalchemy import Connection, CursorResult

GENERIC_PLANS: Final = "-cplan_cache_mode=force_generic_plan"
"""Option of a connection: statements prepared here take few rows by an index, whatever their values are."""
_NAMES: Final = "millpond_statements"
_numbers: Final = count(1)
_VALUE: Final = re.compile(r"%\((\w+)\)s(::\w+(?:\[\])?)?")


def execute(connection: Connection, statement: str, values: Mapping[str, Any]) -> CursorResult[Any]:
    """Execute a statement with named values, such as `%(days)s::text[]`; the second time it is prepared.

    Half of the time that Postgres takes for a short statement goes into parsing and planning it. The driver
    prepares none.
    """
    names: dict[str, str] = connection.info.setdefault(_NAMES, {})
    name = names.get(statement)
    if name is None:
        names[statement] = ""
        return connection.exec_driver_sql(statement, dict(values))
    numbered, listed = _number_values(statement)
    if name:
        return connection.exec_driver_sql(f"execute {name}({listed})", dict(values))
    name = f"millpond_{next(_numbers)}"  # another one if this fails, which leaves open what was prepared
    both = f"prepare {name} as {numbered}; execute {name}({listed})"
    result = connection.exec_driver_sql(both, dict(values))
    names[statement] = name
    return result


@lru_cache(64)
def _number_values(statement: str) -> tuple[str, str]:
    """Return a statement with numbers in the place of names, and what is executed with it."""
    casts: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        name, cast = found.groups("")
        casts.setdefault(name, cast)
        return f"${[*casts].index(name) + 1}{cast}"

    numbered = _VALUE.sub(number, statement)
    return numbered, ", ".join(f"%({name})s{cast}" for name, cast in casts.items())
