"""What a request to the REST catalog names: its warehouse, its namespace, the page it wants, its client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from millpond.lake.catalog import LakeCatalog, load_catalog
from millpond.lake.pins import Pin, get_pin, is_pin
from millpond.lake.rest_errors import BadRequest, Forbidden
from millpond.lake.rest_tokens import get_grant, require_within

Body = Mapping[str, Any]

DONE = 204
SEPARATOR = "\x1f"
"""Between the levels of a namespace in an address, as the specification has it."""
_LONGEST_CLIENT = 120


def read_namespace(request: Request) -> tuple[str, ...]:
    """Return the namespace of a request's path. Raises BadRequest, Forbidden."""
    name = check_namespace(str(request.path_params["namespace"]).split(SEPARATOR))
    require_within(request, name)
    return name


def check_namespace(levels: Sequence[Any]) -> tuple[str, ...]:
    """Return a namespace's levels. Raises BadRequest if one is empty or has a dot."""
    if isinstance(levels, str) or not levels:
        raise BadRequest("a namespace is a list of names, and not empty")
    return tuple(check_name(level) for level in levels)


def check_name(name: Any) -> str:
    """Return the name of a table, view or namespace. Raises BadRequest if it cannot be one here."""
    if not isinstance(name, str) or not name:
        raise BadRequest("a name is empty or not a string")
    if "." in name or SEPARATOR in name:
        raise BadRequest(
            f"the name {name!r} has a dot, which separates namespaces here; use another character"
        )
    return name


def read_identifier(request: Request, body: Body) -> tuple[str, ...]:
    """Return the identifier of a table or view in a body. Raises BadRequest, KeyError, Forbidden."""
    namespace = check_namespace(body["namespace"])
    require_within(request, namespace)
    return (*namespace, check_name(body["name"]))


def get_warehouse(request: Request) -> LakeCatalog | Pin:
    """Return the ref or the pin of a request's path. Raises RefNotFound, Forbidden."""
    require_within(request)
    return open_warehouse(request.path_params["prefix"], describe_client(request))


def open_warehouse(name: str, client: str = "") -> LakeCatalog | Pin:
    """Return the ref or the pin of that name. Raises RefNotFound."""
    return get_pin(name) if is_pin(name) else load_catalog(name, client)


def require_writable(request: Request) -> LakeCatalog:
    """Return the ref of a request's path. Raises Forbidden if it is a pin."""
    found = get_warehouse(request)
    if isinstance(found, Pin):
        raise Forbidden(f"{found.name} is a pinned view and cannot be written; write to {found.ref} instead")
    return found


def describe_client(request: Request) -> str:
    """Return who sends a request, for the ref log: its program, and the name of its token."""
    program = (
        "".join(c for c in request.headers.get("user-agent", "") if c.isprintable()) or "unnamed program"
    )
    grant = get_grant(request)
    return f"{program[:_LONGEST_CLIENT]} (token {grant.name or grant.id})"


def take_page(request: Request, names: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """Return the page of sorted `names` that a request asks for, and the token of the next one, if any.

    A page begins after the name that its token holds, so nothing is listed twice when others come between.
    Raises BadRequest.
    """
    given, size = request.query_params.get("pageToken"), request.query_params.get("pageSize")
    if given is None and size is None:
        return names, {}
    if size is not None and (not size.isdigit() or int(size) == 0):
        raise BadRequest(f"pageSize is {size!r}, not a whole number above 0")
    rest = [name for name in names if _key(name) > _read_page_token(given)] if given else list(names)
    page = rest if size is None else rest[: int(size)]
    if len(page) == len(rest):
        return page, {}
    return page, {"next-page-token": base64.urlsafe_b64encode(_key(page[-1]).encode()).decode()}


def _key(name: Any) -> str:
    return name if isinstance(name, str) else SEPARATOR.join(name)


def _read_page_token(given: str) -> str:
    try:
        return base64.urlsafe_b64decode(given.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest("pageToken is none that this catalog gave") from error
