"""Nessie as the keeper of the pointers: our refs are its branches, a commit of ours is one commit there.

Nessie is told of tables by the metadata file they are at, so files, snapshots and all code above stay as they
are. Postgres keeps what Nessie does not have (locks, purposes, pins, the ref log) and a copy of the pointers,
which `follow` brings up to date before it is read. Where the two differ, Nessie is right.
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
_GONE, _CONFLICT = 404, 409
_COPIED = """
insert into iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
values (%s, %s, %s, %s, 'TABLE') on conflict (catalog_name, table_namespace, table_name)
do update set metadata_location = excluded.metadata_location
"""


class Refused(Exception):
    """Nessie did not do it because the branch has moved (`gone`: because there is no such branch)."""

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__(message)
        self.gone = gone


def is_used() -> bool:
    """Return whether Nessie is the catalog."""
    return settings().catalog == "nessie"


def branch_of(ref: str) -> str:
    """Return the name of Nessie's branch that is `ref`."""
    return settings().nessie_branch if ref == MAIN_REF else ref


def follow(conn: psycopg.Connection, ref: str) -> str:
    """Make the copy of a ref's pointers what Nessie says, if it is the catalog; returns the branch's hash.

    Raises Refused where the branch is gone, ServerUnreachable.
    """
    if not is_used():
        return ""
    head, entries = _entries(ref)
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
        cursor.executemany(_COPIED, [(ref, *table, now[table]) for table in moved])
    return head


def commit(ref: str, moves: Sequence[Move], note: Note) -> None:
    """Move the pointers on Nessie's branch, all in one commit. Raises Refused, ServerUnreachable."""
    head, entries = _entries(ref)
    ids = {".".join(entry["elements"]): entry["id"] for entry in entries}
    at = {".".join(entry["elements"]): entry["location"] for entry in entries}
    if any(at.get(move.table) != move.old for move in moves):
        raise Refused("a table was moved meanwhile", gone=False)
    operations = [_namespace(layer) for layer in LAYERS if layer not in ids]
    operations += [_operation(move, ids.get(move.table)) for move in moves]
    properties = {"run_id": note.run_id, "commit_id": note.commit_id or ""}
    meta = {"message": f"millpond {note.action}", "properties": properties}
    _ask(
        "POST",
        f"trees/{branch_of(ref)}@{head}/history/commit",
        json={"commitMeta": meta, "operations": operations},
    )


def create(name: str, base: str, head: str) -> None:
    """Create a branch where `base` is at hash `head`. Raises Refused if there is one, ServerUnreachable."""
    source = {"type": "BRANCH", "name": branch_of(base), "hash": head}
    _ask("POST", "trees", params={"name": name, "type": "BRANCH"}, json=source)


def drop(name: str) -> None:
    """Drop a branch, if it is there. Raises LakeError if it keeps moving, ServerUnreachable."""
    if any(_is_dropped(name) for _ in range(_TRIES)):
        return
    raise LakeError(
        f"branch {name} cannot be dropped: somebody is writing to it in Nessie",
        unharmed="the branch and every other",
        next_step="end that writer, then drop it again",
    )


def merge(name: str, into: str) -> None:
    """Merge all that a branch changed, all at once. Raises Refused for a conflict, ServerUnreachable.

    Never forced: that would lose what `into` got meanwhile.
    """
    body = {"fromRefName": name, "fromHash": _head(name), "message": f"millpond merge of {name}"}
    _ask("POST", f"trees/{branch_of(into)}@{_head(into)}/history/merge", json=body)


def _is_dropped(name: str) -> bool:
    try:
        _ask("DELETE", f"trees/{name}@{_head(name)}")
    except Refused as refused:
        return refused.gone
    return True


def _entries(ref: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a branch's hash and what is on it then; `location` is None for what is no table."""
    path, first = f"trees/{branch_of(ref)}", {"content": "true"}
    page = _ask("GET", f"{path}/entries", params=first)
    head = str(page["effectiveReference"]["hash"])
    found = list(page["entries"])
    while page.get("hasMore"):
        more = {**first, "page-token": page["token"]}
        page = _ask("GET", f"{path}@{head}/entries", params=more)
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


def _head(ref: str) -> str:
    return str(_ask("GET", f"trees/{branch_of(ref)}")["reference"]["hash"])


def _operation(move: Move, content_id: str | None) -> dict[str, Any]:
    key = {"elements": move.table.split(".", 1)}
    if move.new is None:
        return {"type": "DELETE", "key": key}
    from millpond.lake.metadata import metadata_at  # brings in PyIceberg, which readers can do without

    metadata = metadata_at(move.new)
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


def _namespace(layer: str) -> dict[str, Any]:
    content = {"type": "NAMESPACE", "elements": [layer], "properties": {}}
    return {"type": "PUT", "key": {"elements": [layer]}, "content": content}


def _ask(method: str, path: str, **options: Any) -> Any:
    import requests  # which who has another catalog can do without

    address = settings().nessie_uri
    try:
        answer = requests.request(method, f"{address}/api/v2/{path}", timeout=_SECONDS, **options)
        content = answer.json() if answer.content else {}
    except (requests.RequestException, ValueError) as error:
        raise _unreachable(f"does not answer: {error}") from error
    if answer.status_code in (_GONE, _CONFLICT):
        raise Refused(content.get("message", "no reason given"), gone=answer.status_code == _GONE)
    if not answer.ok:
        raise _unreachable(f"answers with status {answer.status_code}: {answer.text[:300]}")
    return content


def _unreachable(what: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"Nessie at {settings().nessie_uri} {what}",
        unharmed="every table is as it was before or as it is after the commit, never between",
        next_step="see that it runs and that MILLPOND_NESSIE_URI is its address; then repeat the run",
    )
