"""Routes of the REST catalog: tables."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from pydantic import TypeAdapter
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from millpond.internals.pyiceberg import dump_metadata
from millpond.lake.catalog import LakeCatalog, TableChange
from millpond.lake.files import local_path
from millpond.lake.metadata import read_metadata_text
from millpond.lake.pins import Pin
from millpond.lake.rest_errors import BadRequest
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

_UPDATES: TypeAdapter[tuple[TableUpdate, ...]] = TypeAdapter(tuple[TableUpdate, ...])
_REQUIREMENTS: TypeAdapter[tuple[TableRequirement, ...]] = TypeAdapter(tuple[TableRequirement, ...])
_NOT_MODIFIED = 304


def tables(request: Request, body: Body) -> Response:
    """List the tables of a namespace, or create one."""
    name = read_namespace(request)
    if request.method == "POST":
        return _create(require_writable(request), name, body)
    found = get_warehouse(request)
    require_namespace(found, name)
    if isinstance(found, Pin):
        layer = ".".join(name)
        names = [t.rpartition(".")[2] for t in found.pointers if t.rpartition(".")[0] == layer]
    else:
        names = [t[-1] for t in found.list_tables(name)]
    page, more = take_page(request, sorted(names))
    return JSONResponse({"identifiers": [{"namespace": list(name), "name": n} for n in page], **more})


def table(request: Request, body: Body) -> Response:
    """Load, look for, change or drop a table."""
    identifier = _read_table(request)
    if request.method == "DELETE":
        require_writable(request).drop_table(identifier)
        return Response(status_code=DONE)
    if request.method == "POST":
        (changed,) = require_writable(request).commit_tables([_read_change(identifier, body)])
        return _respond_table(changed.metadata_location)
    location = _find_location(get_warehouse(request), identifier)
    return Response(status_code=DONE) if request.method == "HEAD" else _load(request, location)


def register(request: Request, body: Body) -> Response:
    """Register a table that exists as files under a name."""
    lake = require_writable(request)
    identifier = (*read_namespace(request), check_name(body["name"]))
    location, overwrite = str(body["metadata-location"]), bool(body.get("overwrite"))
    return _respond_table(lake.register_table(identifier, location, overwrite).metadata_location)


def rename(request: Request, body: Body) -> Response:
    """Rename a table."""
    source, target = (read_identifier(request, body[end]) for end in ("source", "destination"))
    require_writable(request).rename_table(source, target)
    return Response(status_code=DONE)


def transaction(request: Request, body: Body) -> Response:
    """Change several tables at once, or none."""
    changes = [_read_change(read_identifier(request, c["identifier"]), c) for c in body["table-changes"]]
    if len({identifier for identifier, _, _ in changes}) < len(changes):
        raise BadRequest("a table is named twice in one transaction")
    require_writable(request).commit_tables(changes)
    return Response(status_code=DONE)


def metrics(request: Request, _: Body) -> Response:
    """Accept a report on what a client read or committed; it is not kept.

    Spark reports what it wrote into a table before it commits the table itself.
    """
    get_warehouse(request)
    _read_table(request)
    return Response(status_code=DONE)


def credentials(request: Request, _: Body) -> Response:
    """Return the credentials of a table's files, which are none: clients bring their own."""
    _find_location(get_warehouse(request), _read_table(request))
    return JSONResponse({"storage-credentials": []})


def _create(lake: LakeCatalog, namespace: tuple[str, ...], body: Body) -> Response:
    schema = Schema.model_validate(body["schema"])
    spec, order = body.get("partition-spec"), body.get("write-order")
    name = ".".join((*namespace, check_name(body["name"])))
    require_namespace(lake, namespace)
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
            raise TableAlreadyExistsError(f"Table already exists: {name} (on ref {lake.name})")
        return JSONResponse({"metadata": orjson.loads(dump_metadata(staged.metadata)), "config": {}})
    lake.add(staged)
    return _respond_table(staged.metadata_location)


def _make_folders(location: str) -> None:
    """Create the folders that DuckDB expects: it writes files but creates no folders."""
    if path := local_path(location):
        for folder in ("data", "metadata"):
            (path / folder).mkdir(parents=True, exist_ok=True)


def _load(request: Request, location: str) -> Response:
    """Return the table at `location`; without a body if the client has it already."""
    snapshots = request.query_params.get("snapshots", "all")
    if snapshots not in ("all", "refs"):
        raise BadRequest(f"snapshots is {snapshots!r}, neither all nor refs")
    tag = f'"{hashlib.sha256(f"{location} {snapshots}".encode()).hexdigest()[:32]}"'
    if tag in (given.strip() for given in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=_NOT_MODIFIED, headers={"ETag": tag})
    response = _respond_table(location, only_refs=snapshots == "refs")
    response.headers["ETag"] = tag
    return response


def _respond_table(location: str, *, only_refs: bool = False) -> Response:
    text = read_metadata_text(location)
    prefix = b'{"metadata-location":' + orjson.dumps(location) + b',"config":{},"metadata":'
    if only_refs:
        text = orjson.dumps(_keep_snapshots_of_refs(orjson.loads(text)))
    return Response(prefix + text + b"}", media_type="application/json")


def _keep_snapshots_of_refs(metadata: dict[str, Any]) -> dict[str, Any]:
    needed = {ref["snapshot-id"] for ref in metadata.get("refs", {}).values()}
    needed.add(metadata.get("current-snapshot-id"))
    return {**metadata, "snapshots": [s for s in metadata.get("snapshots", ()) if s["snapshot-id"] in needed]}


def _read_change(identifier: tuple[str, ...], body: Body) -> TableChange:
    requirements = _REQUIREMENTS.validate_python(body.get("requirements") or ())
    return identifier, requirements, _UPDATES.validate_python(body.get("updates") or ())


def _read_table(request: Request) -> tuple[str, ...]:
    return (*read_namespace(request), check_name(request.path_params["table"]))


def _find_location(found: LakeCatalog | Pin, identifier: tuple[str, ...]) -> str:
    if isinstance(found, LakeCatalog):
        return found.pointer(identifier)
    name = Catalog.namespace_to_string(identifier)
    if name not in found.pointers:
        raise NoSuchTableError(f"Table does not exist: {name} (in {found.name})")
    return found.pointers[name]
