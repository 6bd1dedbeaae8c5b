"""What each route of the REST catalog does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from millpond.lake.catalog import LakeCatalog, TableChange, load_catalog
from millpond.lake.files import local_path
from millpond.lake.metadata import read_metadata_text
from millpond.lake.pins import Pin, get_pin, is_pin
from millpond.lake.rest_errors import BadRequest, Forbidden
from millpond.naming import LAYERS, MAIN_REF

Body = Mapping[str, Any]

ENDPOINTS = (
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/tables/rename",
    "POST /v1/{prefix}/transactions/commit",
)

_UPDATES: TypeAdapter[tuple[TableUpdate, ...]] = TypeAdapter(tuple[TableUpdate, ...])
_REQUIREMENTS: TypeAdapter[tuple[TableRequirement, ...]] = TypeAdapter(tuple[TableRequirement, ...])
_SEPARATOR = "\x1f"
_DONE = 204


def config(request: Request, _: Body) -> Response:
    """Return the prefix of the client's warehouse: a ref, or a pin."""
    warehouse = request.query_params.get("warehouse") or MAIN_REF
    _open_warehouse(warehouse)
    return JSONResponse({"defaults": {}, "overrides": {"prefix": warehouse}, "endpoints": list(ENDPOINTS)})


def namespaces(request: Request, body: Body) -> Response:
    """List or create namespaces."""
    if request.method == "POST":
        name, properties = tuple(body["namespace"]), body.get("properties") or {}
        _require_writable(request).create_namespace(name, properties)
        return JSONResponse({"namespace": list(name), "properties": properties})
    if isinstance(found := _get_warehouse(request), Pin):
        return JSONResponse({"namespaces": [[n] for n in _list_namespaces(found)]})
    parent = tuple(filter(None, request.query_params.get("parent", "").split(_SEPARATOR)))
    return JSONResponse({"namespaces": sorted(list(n) for n in found.list_namespaces(parent))})


def namespace(request: Request, _: Body) -> Response:
    """Describe, look for or drop a namespace."""
    name = _read_namespace(request)
    if request.method == "DELETE":
        _require_writable(request).drop_namespace(name)
        return Response(status_code=_DONE)
    if isinstance(found := _get_warehouse(request), Pin):
        if ".".join(name) not in _list_namespaces(found):
            raise NoSuchNamespaceError(f"there is no namespace {'.'.join(name)} in {found.name}")
        properties = {}
    else:
        properties = found.load_namespace_properties(name)
    if request.method == "HEAD":
        return Response(status_code=_DONE)
    return JSONResponse({"namespace": list(name), "properties": properties})


def namespace_properties(request: Request, body: Body) -> Response:
    """Set and remove properties of a namespace."""
    done = _require_writable(request).update_namespace_properties(
        _read_namespace(request), set(body.get("removals") or ()), body.get("updates") or {}
    )
    return JSONResponse({"removed": done.removed, "updated": done.updated, "missing": done.missing})


def tables(request: Request, body: Body) -> Response:
    """List the tables of a namespace, or create one."""
    name = _read_namespace(request)
    if request.method == "POST":
        return _create(_require_writable(request), name, body)
    if isinstance(found := _get_warehouse(request), Pin):
        if (layer := ".".join(name)) not in _list_namespaces(found):
            raise NoSuchNamespaceError(f"there is no namespace {layer} in {found.name}")
        names = [t.partition(".")[2] for t in found.pointers if t.partition(".")[0] == layer]
    else:
        names = [t[-1] for t in found.list_tables(name)]
    return JSONResponse({"identifiers": [{"namespace": list(name), "name": n} for n in sorted(names)]})


def table(request: Request, body: Body) -> Response:
    """Load, look for, change or drop a table."""
    identifier = (*_read_namespace(request), request.path_params["table"])
    if request.method == "DELETE":
        _require_writable(request).drop_table(identifier)
        return Response(status_code=_DONE)
    if request.method == "POST":
        (changed,) = _require_writable(request).commit_tables([_read_change(identifier, body)])
        return _respond_table(changed.metadata_location)
    location = _find_location(_get_warehouse(request), identifier)
    return Response(status_code=_DONE) if request.method == "HEAD" else _respond_table(location)


def register(request: Request, body: Body) -> Response:
    """Register a table that exists as files under a name."""
    lake = _require_writable(request)
    identifier = (*_read_namespace(request), str(body["name"]))
    return _respond_table(lake.register_table(identifier, str(body["metadata-location"])).metadata_location)


def rename(request: Request, body: Body) -> Response:
    """Rename a table."""
    source, target = ((*body[end]["namespace"], body[end]["name"]) for end in ("source", "destination"))
    _require_writable(request).rename_table(source, target)
    return Response(status_code=_DONE)


def transaction(request: Request, body: Body) -> Response:
    """Change several tables at once, or none."""
    changes = [
        _read_change((*c["identifier"]["namespace"], c["identifier"]["name"]), c)
        for c in body["table-changes"]
    ]
    _require_writable(request).commit_tables(changes)
    return Response(status_code=_DONE)


def _create(lake: LakeCatalog, namespace: tuple[str, ...], body: Body) -> Response:
    schema = Schema.model_validate(body["schema"])
    spec, order = body.get("partition-spec"), body.get("write-order")
    name = ".".join((*namespace, str(body["name"])))
    if not lake.namespace_exists(namespace):
        raise NoSuchNamespaceError(f"there is no namespace {'.'.join(namespace)} on ref {lake.name}")
    staged = lake.stage_new(
        name,
        schema,
        PartitionSpec.model_validate(spec) if spec else UNPARTITIONED_PARTITION_SPEC,
        SortOrder.model_validate(order) if order else UNSORTED_SORT_ORDER,
        body.get("properties") or {},
        body.get("location"),
    )
    _make_folders(staged.metadata.location)
    if body.get("stage-create"):
        if lake.table_exists(name):
            raise TableAlreadyExistsError(f"there is a table {name} on ref {lake.name} already")
        metadata = orjson.loads(staged.metadata.model_dump_json())
        return JSONResponse({"metadata": metadata, "config": {}})
    lake.add(staged)
    return _respond_table(staged.metadata_location)


def _make_folders(location: str) -> None:
    """Create the folders that DuckDB expects: it writes files but creates no folders."""
    if path := local_path(location):
        for folder in ("data", "metadata"):
            (path / folder).mkdir(parents=True, exist_ok=True)


def _respond_table(location: str) -> Response:
    prefix = b'{"metadata-location":' + orjson.dumps(location) + b',"config":{},"metadata":'
    return Response(prefix + read_metadata_text(location) + b"}", media_type="application/json")


def _read_change(identifier: tuple[str, ...], body: Body) -> TableChange:
    requirements = _REQUIREMENTS.validate_python(body.get("requirements") or ())
    return identifier, requirements, _UPDATES.validate_python(body.get("updates") or ())


def _read_namespace(request: Request) -> tuple[str, ...]:
    name = tuple(str(request.path_params["namespace"]).split(_SEPARATOR))
    if not all(name):
        raise BadRequest("a namespace's name is empty")
    return name


def _get_warehouse(request: Request) -> LakeCatalog | Pin:
    return _open_warehouse(request.path_params["prefix"])


def _open_warehouse(name: str) -> LakeCatalog | Pin:
    return get_pin(name) if is_pin(name) else load_catalog(name)


def _require_writable(request: Request) -> LakeCatalog:
    found = _get_warehouse(request)
    if isinstance(found, Pin):
        raise Forbidden(f"{found.name} is a pinned view and cannot be written; write to {found.ref} instead")
    return found


def _list_namespaces(pin: Pin) -> list[str]:
    return sorted({*LAYERS, *(t.partition(".")[0] for t in pin.pointers)})


def _find_location(found: LakeCatalog | Pin, identifier: tuple[str, ...]) -> str:
    if isinstance(found, LakeCatalog):
        return found.pointer(identifier)
    name = Catalog.namespace_to_string(identifier)
    if name not in found.pointers:
        raise NoSuchTableError(f"there is no table {name} in {found.name}")
    return found.pointers[name]
