"""A request to a source: address, path, parameters and credential of its spec, filled in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from millpond import redaction
from millpond.errors import ConfigError
from millpond.ingestion.origins import refuse_without_address
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Values, bounds, fill
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.runtime.demo_source import DEMO_USER, ensure_demo_source
from millpond.settings import Settings, variable

Span = tuple[int, int]
"""A half-open time in microseconds, the first and the one after the last."""
_NUMBERS: Final = frozenset(f"{{{name}}}" for name in placeholders.INSTANTS if not name.endswith("iso"))


def build_request(table: SourceTable, values: Values, span: Span, zone: dt.tzinfo) -> dict[str, Any]:
    """Return path, method, params, headers and body of the request for the rows of `table` in `span`.

    Dates are those of `zone`, unless the window declares another one.
    """
    endpoint = table.http
    values = {**values, **bounds(*span, date_zone(table, zone))}
    safe = {
        name: quote(value, safe="") if isinstance(value, str) else value for name, value in values.items()
    }
    found = {
        "path": fill(endpoint.path, safe),
        "method": endpoint.method,
        "params": {
            **_to_texts(fill(endpoint.params, values)),
            **({table.page.param: table.page.size} if table.page else {}),
            **fill(table.window.params or {}, values),
        },
        "headers": fill(endpoint.headers, values),
    }
    if endpoint.json is not None:
        found["json"] = fill(_with_numbers(endpoint.json, values), values)
    elif endpoint.data is not None:
        data = fill(endpoint.data, values)
        found["data"] = _to_texts(data) if isinstance(data, dict) else data.encode()
    return found


def date_zone(table: SourceTable, zone: dt.tzinfo) -> dt.tzinfo:
    """Return the time zone of the dates in requests; `zone` is the configured one."""
    return ZoneInfo(table.window.zone) if table.window.zone else zone


def _to_texts(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return `params` with truth values as JSON writes them."""
    words = {True: "true", False: "false"}
    return {
        name: words[value]
        if isinstance(value, bool)
        else [words[each] if isinstance(each, bool) else each for each in value]
        if isinstance(value, list)
        else value
        for name, value in params.items()
    }


def _with_numbers(value: Any, values: Values) -> Any:
    """Return a JSON body in which a time since 1970 that is a value by itself is a number."""
    if isinstance(value, dict):
        return {key: _with_numbers(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each, values) for each in value]
    return int(fill(value, values)) if isinstance(value, str) and value in _NUMBERS else value


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
    templates = [source.http.base_url, *(text for _, text in table.http.templates())]
    needed = {used for template in templates for used in placeholders.names(template)}
    for used in needed.intersection(placeholders.CONNECTION) - placeholders.SECRET:
        if values[used] is None:
            raise ConfigError(
                f"{variable(used, name)} is not set, and {table.asset} needs it",
                next_step=f"set {variable(used, name)} in the environment or in .env",
            )
    return values
