"""Routes of the REST catalog: its configuration, and namespaces."""

from __future__ import annotations

from collections.abc import Mapping

from pyiceberg.exceptions import NamespaceAlreadyExistsError, NamespaceNotEmptyError, NoSuchNamespaceError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from millpond.lake.catalog import LakeCatalog
from millpond.lake.files import locate
from millpond.lake.pins import Pin
from millpond.lake.rest_errors import BadRequest, UnprocessableEntity
from millpond.lake.rest_requests import (
    DONE,
    SEPARATOR,
    Body,
    check_namespace,
    get_warehouse,
    open_warehouse,
    read_namespace,
    require_writable,
    take_page,
)
from millpond.lake.rest_tokens import get_grant, require_within
from millpond.lake.views import list_views
from millpond.naming import LAYERS, MAIN_REF


def config(request: Request, _: Body) -> Response:
    """Return the prefix of the client's warehouse (a ref, or a pin) and the endpoints that there are."""
    from millpond.lake.rest_routes import ENDPOINTS  # it names this function

    require_within(request)
    warehouse = request.query_params.get("warehouse") or get_grant(request).ref or MAIN_REF
    open_warehouse(warehouse)
    return JSONResponse({"defaults": {}, "overrides": {"prefix": warehouse}, "endpoints": list(ENDPOINTS)})


def namespaces(request: Request, body: Body) -> Response:
    """List or create namespaces."""
    if request.method == "POST":
        return _create(request, body)
    parent = tuple(filter(None, request.query_params.get("parent", "").split(SEPARATOR)))
    found = get_warehouse(request)
    names: list[tuple[str, ...]]
    if isinstance(found, Pin):
        names = [(n,) for n in list_pinned_namespaces(found)]
    elif parent and not found.namespace_exists(parent):
        raise missing_error(parent)
    else:
        names = found.list_namespaces(parent)
    allowed = get_grant(request).namespace
    page, more = take_page(request, sorted(n for n in names if allowed in (None, n[0])))
    return JSONResponse({"namespaces": [list(n) for n in page], **more})


def _create(request: Request, body: Body) -> Response:
    name, properties = check_namespace(body["namespace"]), _read_properties(body.get("properties"))
    require_within(request, name)
    lake = require_writable(request)
    if lake.namespace_exists(name):
        raise NamespaceAlreadyExistsError(f"Namespace already exists: {'.'.join(name)}")
    lake.create_namespace(name, properties)
    return _respond(name, properties)


def namespace(request: Request, _: Body) -> Response:
    """Describe, look for or drop a namespace."""
    name = read_namespace(request)
    if request.method == "DELETE":
        _drop(require_writable(request), name)
        return Response(status_code=DONE)
    found = get_warehouse(request)
    require_namespace(found, name)
    if request.method == "HEAD":
        return Response(status_code=DONE)
    properties = {} if isinstance(found, Pin) else found.load_namespace_properties(name)
    return _respond(name, properties)


def _respond(name: tuple[str, ...], properties: Mapping[str, str]) -> Response:
    """Return a namespace as clients see it: with a location, as Trino creates no table in one without."""
    both = {"location": locate(name), **properties}
    return JSONResponse({"namespace": list(name), "properties": both})


def _drop(lake: LakeCatalog, name: tuple[str, ...]) -> None:
    require_namespace(lake, name)
    if lake.list_tables(name) or list_views(lake, ".".join(name)) or lake.list_namespaces(name):
        raise NamespaceNotEmptyError(f"Namespace {'.'.join(name)} is not empty")
    lake.drop_namespace(name)


def namespace_properties(request: Request, body: Body) -> Response:
    """Set and remove properties of a namespace."""
    lake, name = require_writable(request), read_namespace(request)
    removals, updates = set(body.get("removals") or ()), _read_properties(body.get("updates"))
    require_namespace(lake, name)
    if both := sorted(removals & set(updates)):
        raise UnprocessableEntity(f"the properties {', '.join(both)} are to be set and removed at once")
    done = lake.update_namespace_properties(name, removals, updates)
    return JSONResponse(
        {"removed": sorted(done.removed), "updated": sorted(done.updated), "missing": sorted(done.missing)}
    )


def require_namespace(found: LakeCatalog | Pin, name: tuple[str, ...]) -> None:
    """Raise NoSuchNamespaceError unless the ref or pin has the namespace."""
    there = (
        ".".join(name) in list_pinned_namespaces(found)
        if isinstance(found, Pin)
        else found.namespace_exists(name)
    )
    if not there:
        raise missing_error(name)


def list_pinned_namespaces(pin: Pin) -> list[str]:
    """Return the namespaces of a pin: the layers, and those of its tables."""
    return sorted({*LAYERS, *(t.rpartition(".")[0] for t in pin.pointers)})


def missing_error(name: tuple[str, ...]) -> NoSuchNamespaceError:
    """Return the error for a namespace that does not exist."""
    return NoSuchNamespaceError(f"Namespace does not exist: {'.'.join(name)}")


def _read_properties(given: object) -> dict[str, str]:
    if not isinstance(given, dict | None):
        raise BadRequest("properties are an object of strings")
    return {str(name): str(value) for name, value in (given or {}).items()}
