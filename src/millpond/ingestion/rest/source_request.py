"""A request to a source: address, path, parameters and credential of its spec, filled in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from millpond import redaction
from millpond.errors import ConfigError
from millpond.ingestion.origins import refuse_without_address
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Values, bounds, fill
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.runtime.demo_source import DEMO_USER, ensure_demo_source
from millpond.settings import Settings, variable


def path(table: SourceTable, values: Values) -> str:
    """Return the path below the base URL that lists the rows of `table`."""
    safe = {name: quote(value, safe="") if value else value for name, value in values.items()}
    found: str = fill(table.http.path, safe)
    return found


def params(table: SourceTable, values: Values, start: int, end: int) -> dict[str, Any]:
    """Return the parameters that ask for the rows of the half-open time `[start, end)`, in microseconds."""
    return {
        **fill(table.http.params, values),
        **({table.page.param: table.page.size} if table.page else {}),
        **fill(table.window.params or {}, {**values, **bounds(start, end)}),
    }


def credential(source: SourceSpec, values: Values) -> dict[str, Any] | None:
    """Return the auth that the spec declares, filled in; None if there is none or its secret is not set."""
    if source.http.auth is None:
        return None
    declared = source.http.auth.model_dump()
    found: dict[str, Any] = fill(declared, values)
    return found if found.keys() == declared.keys() else None


def connection(source: SourceSpec, table: SourceTable, settings: Settings) -> Values:
    """Return the values of the connection's placeholders, credentials registered for redaction.

    Starts the demo source where it stands in. Raises ConfigError naming the variable that is missing,
    NoSourceAddress outside of a demo home.
    """
    name, found = source.source, settings.source(source.source)
    token = found.token.get_secret_value() if found.token else None
    url, user = found.url, found.user
    if url and not url.startswith(("http://", "https://")):
        raise ConfigError(
            f"{variable('url', name)} must start with http:// or https://",
            next_step="set it for example to https://cgm.example.org",
        )
    if url is None and source.demo:
        if user or token:
            extra = variable("user" if user else "token", name)
            raise ConfigError(
                f"{extra} is set but {variable('url', name)} is not, so the demo source would answer",
                next_step=f"set {variable('url', name)} as well, or unset {extra}",
            )
        refuse_without_address(source, settings)
        url, user = ensure_demo_source(settings), DEMO_USER
    values = placeholders.connection(url, user, token)
    for secret in placeholders.SECRET:
        redaction.register(values[secret])
    templates = [source.http.base_url, table.http.path, *table.http.params.values()]
    for used in {used for template in templates for used in placeholders.names(template)}:
        if used not in placeholders.SECRET and values[used] is None:
            raise ConfigError(
                f"{variable(used, name)} is not set, and {table.asset} needs it",
                next_step=f"set {variable(used, name)} in the environment or in .env",
            )
    return values
