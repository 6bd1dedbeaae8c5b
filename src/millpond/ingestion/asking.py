"""What a request to a source consists of: path, parameters and credential of its spec, filled in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from millpond.ingestion.placeholders import Values, bounds, filled
from millpond.ingestion.spec import SourceSpec, SourceTable


def path(table: SourceTable, values: Values) -> str:
    """Return the path below the base URL that lists the rows of `table`."""
    safe = {name: quote(value, safe="") if value else value for name, value in values.items()}
    found: str = filled(table.endpoint.path, safe)
    return found


def params(table: SourceTable, values: Values, start: int, end: int) -> dict[str, Any]:
    """Return the parameters that ask for the rows of the half-open time `[start, end)`, in microseconds."""
    return {
        **filled(table.endpoint.params, values),
        **({table.page.param: table.page.size} if table.page else {}),
        **filled(table.window.params or {}, {**values, **bounds(start, end)}),
    }


def credential(source: SourceSpec, values: Values) -> dict[str, Any] | None:
    """Return the auth that the spec declares, filled in; None if there is none or its secret is not set."""
    if source.rest.auth is None:
        return None
    declared = source.rest.auth.model_dump()
    found: dict[str, Any] = filled(declared, values)
    return found if found.keys() == declared.keys() else None
