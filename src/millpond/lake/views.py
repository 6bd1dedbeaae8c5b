"""Views of a ref, as the Iceberg view specification has them: SQL that clients store and run, not Millpond.

Their pointers are in the table of those of tables, so branches copy and merges move them alike.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pyiceberg.exceptions import CommitFailedException, NoSuchViewError, ViewAlreadyExistsError

from millpond.internals.pyiceberg import parse_metadata_version
from millpond.lake import nessie
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.metadata import read_metadata_text
from millpond.lake.pointers import Move, PointerMoved, find_kind
from millpond.lake.view_updates import apply_updates, check_requirements

Metadata = dict[str, Any]
_ATTEMPTS = 5


def list_views(lake: LakeCatalog, namespace: str) -> list[str]:
    """Return the names of the views in a namespace, sorted."""
    with borrow_connection() as conn:
        rows = conn.execute(
            "select table_name from iceberg_tables where catalog_name = %s and table_namespace = %s"
            " and iceberg_type = 'VIEW' order by 1",
            (lake.name, namespace),
        ).fetchall()
    return [name for (name,) in rows]


def find_view(lake: LakeCatalog, view: str) -> str:
    """Return the location of a view's metadata file. Raises NoSuchViewError."""
    found = find_kind(lake.name, view)
    if found is None or found[0] != "VIEW":
        raise NoSuchViewError(f"View does not exist: {view} (on ref {lake.name})")
    return found[1]


def read_view(location: str) -> Metadata:
    """Return the metadata of a view from its file. Raises FileGone, ValueError if it is none of a view."""
    found = orjson.loads(read_metadata_text(location))
    if not isinstance(found, dict) or "view-uuid" not in found:
        raise ValueError(f"{location} is not the metadata of a view")
    return found


def create_view(lake: LakeCatalog, view: str, updates: Sequence[Mapping[str, Any]]) -> tuple[str, Metadata]:
    """Put a new view on the ref; returns its metadata and their location.

    Raises ViewAlreadyExistsError, also if a table has its name; InvalidView if it has no valid version.
    """
    _refuse_on_nessie()
    _refuse_taken(lake, view)
    place = lake._resolve_table_location(None, *view.rsplit(".", 1))
    metadata = apply_updates({"location": place, "view-uuid": str(uuid.uuid4())}, updates)
    location = _write(lake, metadata, 0)
    _move(lake, "create", [Move(view, None, location, "VIEW")], lambda: _refuse_taken(lake, view))
    return location, metadata


def change_view(
    lake: LakeCatalog,
    view: str,
    requirements: Sequence[Mapping[str, Any]],
    updates: Sequence[Mapping[str, Any]],
) -> tuple[str, Metadata]:
    """Change a view; returns its new metadata and their location.

    Raises CommitFailedException if a requirement fails or others keep changing it, NoSuchViewError.
    """
    _refuse_on_nessie()
    for _ in range(_ATTEMPTS):
        old = _find_replaced(lake, view)
        now = read_view(old)
        check_requirements(requirements, now)
        changed = apply_updates(now, updates)
        if changed == now:
            return old, now
        location = _write(lake, changed, max(0, parse_metadata_version(old)) + 1)
        try:
            lake.move([Move(view, old, location, "VIEW")], "commit")
        except PointerMoved:
            continue
        return location, changed
    raise CommitFailedException(f"Cannot commit: {view} on ref {lake.name} was changed by another writer")


def drop_view(lake: LakeCatalog, view: str) -> None:
    """Take a view off the ref; its file stays until housekeeping removes it. Raises NoSuchViewError."""
    location = find_view(lake, view)
    _move(lake, "drop view", [Move(view, location, None, "VIEW")], lambda: None)


def rename_view(lake: LakeCatalog, source: str, target: str) -> None:
    """Give a view another name. Raises NoSuchViewError, ViewAlreadyExistsError if the name is taken."""
    location = find_view(lake, source)
    if taken := find_kind(lake.name, target):
        kind = "View" if taken[0] == "VIEW" else "Table"
        raise ViewAlreadyExistsError(f"Cannot rename {source} to {target}. {kind} already exists")
    moves = [Move(target, None, location, "VIEW"), Move(source, location, None, "VIEW")]
    _move(lake, "rename", moves, lambda: _refuse_taken(lake, target))


def register_view(lake: LakeCatalog, view: str, location: str) -> Metadata:
    """Put a view that exists as a file on the ref. Raises ViewAlreadyExistsError, FileGone, ValueError."""
    _refuse_on_nessie()
    _refuse_taken(lake, view)
    metadata = read_view(location)
    _move(lake, "register", [Move(view, None, location, "VIEW")], lambda: _refuse_taken(lake, view))
    return metadata


def _find_replaced(lake: LakeCatalog, view: str) -> str:
    found = find_kind(lake.name, view)
    if found and found[0] == "TABLE":
        raise ViewAlreadyExistsError(f"Table with same name already exists: {view} (on ref {lake.name})")
    return find_view(lake, view)


def _refuse_taken(lake: LakeCatalog, view: str) -> None:
    if taken := find_kind(lake.name, view):
        what = "View already exists" if taken[0] == "VIEW" else "Table with same name already exists"
        raise ViewAlreadyExistsError(f"{what}: {view} (on ref {lake.name})")


def _refuse_on_nessie() -> None:
    if nessie.is_used():
        raise NotImplementedError("views of a lake in Nessie are made through Nessie's own REST catalog")


def _move(lake: LakeCatalog, action: str, moves: list[Move], explain: Callable[[], None]) -> None:
    """Move the pointers; if others moved them first, `explain` may raise the fitting error."""
    try:
        lake.move(moves, action)
    except PointerMoved as moved:
        explain()
        raise CommitFailedException(
            f"Cannot commit: {moved} on ref {lake.name} was changed by another writer"
        ) from moved


def _write(lake: LakeCatalog, metadata: Metadata, version: int) -> str:
    folder = (
        metadata["properties"].get("write.metadata.path") or f"{metadata['location'].rstrip('/')}/metadata"
    )
    location = f"{folder.rstrip('/')}/{version:05d}-{uuid.uuid4()}.metadata.json"
    with lake.file_io().new_output(location).create() as stream:
        stream.write(orjson.dumps(metadata))
    return location
