"""Pointers in Nessie: our refs are its branches, and each of our commits is one commit there.

Nessie stores the metadata file of each table, so files, snapshots and all code above stay the same. Postgres
keeps what Nessie does not have (locks, purposes, pins, the ref log) and a copy of the pointers, which
`refresh_copy` updates before it is read. If the two differ, Nessie is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from millpond.errors import LakeError, ServerUnreachable
from millpond.naming import LAYERS, MAIN_REF
from millpond.settings import settings

if TYPE_CHECKING:
    from millpond.lake.pointers import Move, Note

_SECONDS = (5, 60)
_TRIES = 5
_NOT_FOUND, _CONFLICT = 404, 409
_COPY = """
insert into iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
values (%s, %s, %s, %s, 'TABLE') on conflict (catalog_name, table_namespace, table_name)
do update set metadata_location = excluded.metadata_location
"""


class NessieRefused(Exception):
    """Nessie refused because the branch has moved (`gone`: because there is no such branch)."""

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__(message)
        self.gone = gone


def is_used() -> bool:
    """Return whether Nessie is the catalog."""
    return settings().catalog == "nessie"


def branch_name(ref: str) -> str:
    """Return the name of the branch in Nessie that `ref` is."""
    return settings().nessie_branch if ref == MAIN_REF else ref


def refresh_copy(conn: psycopg.Connection, ref: str) -> str:
    """Update the copy of a ref's pointers from Nessie, if it is the catalog; returns the branch's hash.

    Raises NessieRefused if the branch is gone, ServerUnreachable.
    """
    if not is_used():
        return ""
    head, entries = _list_entries(ref)
    now = {tuple(e["elements"]): e["location"] for e in entries if e["location"]}
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute(
            "select table_namespace, table_name, metadata_location from iceberg_tables"
            " where catalog_name = %s",
            (ref,),
        )
        copied = {(namespace, name): location for namespace, name, location in cursor.fetchall()}
        cursor.executemany(
            "delete from iceberg_tables where catalog_name = %s and table_namespace = %s and table_name = %s",
            [(ref, *table) for table in copied.keys() - now.keys()],
        )
        moved = sorted(table for table, location in now.items() if copied.get(table) != location)
        cursor.executemany(_COPY, [(ref, *table, now[table]) for table in moved])
    return head


def commit(ref: str, moves: Sequence[Move], note: Note) -> None:
    """Move the pointers on Nessie's branch, all in one commit. Raises NessieRefused, ServerUnreachable."""
    head, entries = _list_entries(ref)
    ids = {".".join(entry["elements"]): entry["id"] for entry in entries}
    at = {".".join(entry["elements"]): entry["location"] for entry in entries}
    if any(at.get(move.table) != move.old for move in moves):
        raise NessieRefused("a table was moved meanwhile", gone=False)
    operations = [_build_namespace(layer) for layer in LAYERS if layer not in ids]
    operations += [_build_operation(move, ids.get(move.table)) for move in moves]
    properties = {"run_id": note.run_id, "commit_id": note.commit_id or ""}
    meta = {"message": f"millpond {note.action}", "properties": properties}
    _request(
        "POST",
        f"trees/{branch_name(ref)}@{head}/history/commit",
        json={"commitMeta": meta, "operations": operations},
    )


def create(name: str, base: str, head: str) -> None:
    """Create a branch from `base` at hash `head`. Raises NessieRefused if it exists, ServerUnreachable."""
    source = {"type": "BRANCH", "name": branch_name(base), "hash": head}
    _request("POST", "trees", params={"name": name, "type": "BRANCH"}, json=source)


def drop(name: str) -> None:
    """Drop a branch, if it exists. Raises LakeError if others keep writing to it, ServerUnreachable."""
    if any(_try_drop(name) for _ in range(_TRIES)):
        return
    raise LakeError(
        f"branch {name} cannot be dropped: another program is writing to it in Nessie",
        unharmed="the branch and every other",
        next_step="end that writer, then drop it again",
    )


def merge(name: str, into: str) -> None:
    """Merge everything a branch changed, all at once. Raises NessieRefused for a conflict, ServerUnreachable.

    Never forced: that would lose changes of `into`.
    """
    body = {"fromRefName": name, "fromHash": _get_head(name), "message": f"millpond merge of {name}"}
    _request("POST", f"trees/{branch_name(into)}@{_get_head(into)}/history/merge", json=body)


def _try_drop(name: str) -> bool:
    try:
        _request("DELETE", f"trees/{name}@{_get_head(name)}")
    except NessieRefused as refused:
        return refused.gone
    return True


def _list_entries(ref: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a branch's hash and its entries; their `location` is None if they are not tables."""
    path, first = f"trees/{branch_name(ref)}", {"content": "true"}
    page = _request("GET", f"{path}/entries", params=first)
    head = str(page["effectiveReference"]["hash"])
    found = list(page["entries"])
    while page.get("hasMore"):
        more = {**first, "page-token": page["token"]}
        page = _request("GET", f"{path}@{head}/entries", params=more)
        found += page["entries"]
    return head, [
        {
            "elements": entry["name"]["elements"],
            "id": entry["contentId"],
            "location": (entry["content"] or {}).get("metadataLocation"),
        }
        for entry in found
        if entry["type"] in ("ICEBERG_TABLE", "NAMESPACE")
    ]


def _get_head(ref: str) -> str:
    return str(_request("GET", f"trees/{branch_name(ref)}")["reference"]["hash"])


def _build_operation(move: Move, content_id: str | None) -> dict[str, Any]:
    key = {"elements": move.table.split(".", 1)}
    if move.new is None:
        return {"type": "DELETE", "key": key}
    from millpond.lake.metadata import read_metadata  # imports PyIceberg, which readers do not need

    metadata = read_metadata(move.new)
    snapshot = metadata.current_snapshot_id
    content: dict[str, Any] = {
        "type": "ICEBERG_TABLE",
        "metadataLocation": move.new,
        "snapshotId": -1 if snapshot is None else snapshot,
        "schemaId": metadata.current_schema_id,
        "specId": metadata.default_spec_id,
        "sortOrderId": metadata.default_sort_order_id,
    }
    return {"type": "PUT", "key": key, "content": content | ({"id": content_id} if content_id else {})}


def _build_namespace(layer: str) -> dict[str, Any]:
    content = {"type": "NAMESPACE", "elements": [layer], "properties": {}}
    return {"type": "PUT", "key": {"elements": [layer]}, "content": content}


def _request(method: str, path: str, **options: Any) -> Any:
    import requests  # not needed with another catalog

    address = settings().nessie_uri
    try:
        response = requests.request(method, f"{address}/api/v2/{path}", timeout=_SECONDS, **options)
        content = response.json() if response.content else {}
    except (requests.RequestException, ValueError) as error:
        raise _unreachable_error(f"does not response: {error}") from error
    if response.status_code in (_NOT_FOUND, _CONFLICT):
        raise NessieRefused(
            content.get("message", "no reason given"), gone=response.status_code == _NOT_FOUND
        )
    if not response.ok:
        raise _unreachable_error(f"answers with status {response.status_code}: {response.text[:300]}")
    return content


def _unreachable_error(what: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"Nessie at {settings().nessie_uri} {what}",
        unharmed="every table is as it was before or as it is after the commit, never between",
        next_step="check that it runs and that MILLPOND_NESSIE_URI is its address; then repeat the run",
    )
