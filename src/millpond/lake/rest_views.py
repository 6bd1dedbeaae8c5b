"""Routes of the REST catalog: views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyiceberg.exceptions import NoSuchViewError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from millpond.lake import views as store
from millpond.lake.catalog import LakeCatalog
from millpond.lake.pins import Pin
from millpond.lake.rest_namespaces import require_namespace
from millpond.lake.rest_requests import (
    DONE,
    Body,
    check_name,
    get_warehouse,
    read_identifier,
    read_namespace,
    require_writable,
    take_page,
)


def views(request: Request, body: Body) -> Response:
    """List the views of a namespace, or create one."""
    name = read_namespace(request)
    if request.method == "POST":
        return _create(require_writable(request), name, body)
    found = get_warehouse(request)
    require_namespace(found, name)
    names = [] if isinstance(found, Pin) else store.list_views(found, ".".join(name))
    page, more = take_page(request, names)
    return JSONResponse({"identifiers": [{"namespace": list(name), "name": n} for n in page], **more})


def view(request: Request, body: Body) -> Response:
    """Load, look for, change or drop a view."""
    name = ".".join((*read_namespace(request), check_name(request.path_params["view"])))
    if request.method == "DELETE":
        store.drop_view(require_writable(request), name)
        return Response(status_code=DONE)
    if request.method == "POST":
        requirements, updates = (_read_list(body, part) for part in ("requirements", "updates"))
        return _respond(*store.change_view(require_writable(request), name, requirements, updates))
    found = get_warehouse(request)
    if isinstance(found, Pin):
        raise NoSuchViewError(f"View does not exist: {name} (in {found.name}; pins hold tables)")
    location = store.find_view(found, name)
    if request.method == "HEAD":
        return Response(status_code=DONE)
    return _respond(location, store.read_view(location))


def register_view(request: Request, body: Body) -> Response:
    """Register a view that exists as a file under a name."""
    lake, namespace = require_writable(request), read_namespace(request)
    require_namespace(lake, namespace)
    name, location = ".".join((*namespace, check_name(body["name"]))), str(body["metadata-location"])
    return _respond(location, store.register_view(lake, name, location))


def rename_view(request: Request, body: Body) -> Response:
    """Rename a view."""
    lake = require_writable(request)
    source, target = (read_identifier(request, body[end]) for end in ("source", "destination"))
    store.find_view(lake, ".".join(source))
    require_namespace(lake, target[:-1])
    store.rename_view(lake, ".".join(source), ".".join(target))
    return Response(status_code=DONE)


def _create(lake: LakeCatalog, namespace: tuple[str, ...], body: Body) -> Response:
    require_namespace(lake, namespace)
    location = {"action": "set-location", "location": body.get("location")}
    updates: list[Mapping[str, Any]] = [
        *([location] if body.get("location") else []),
        {"action": "set-properties", "updates": body.get("properties") or {}},
        {"action": "add-schema", "schema": body["schema"]},
        {"action": "add-view-version", "view-version": {**body["view-version"], "schema-id": -1}},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]
    return _respond(*store.create_view(lake, ".".join((*namespace, check_name(body["name"]))), updates))


def _read_list(body: Body, part: str) -> list[Mapping[str, Any]]:
    found = body.get(part) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise TypeError(f"{part} is not a list of objects")
    return found


def _respond(location: str, metadata: Mapping[str, Any]) -> Response:
    return JSONResponse({"metadata-location": location, "metadata": metadata, "config": {}})
