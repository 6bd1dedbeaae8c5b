"""Commits that change no row: versions that expire, manifests that are merged, files that are rewritten."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping

from pyiceberg.manifest import ManifestFile

from millpond.lake import nessie
from millpond.lake.branches import list_changes
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import lake_io, name_read_errors
from millpond.lake.locks import lock_tables
from millpond.lake.manifests import select_small
from millpond.lake.metadata import read_metadata
from millpond.lake.pointers import Move, Note, PointerMoved, read_pointers
from millpond.lake.ref_log import EXPIRE, MERGE_MANIFESTS
from millpond.lake.refs import list_refs
from millpond.lake.retention import find_expired
from millpond.lake.staging import NEWEST_WRITTEN, Staging
from millpond.lake.windows import NOTHING
from millpond.naming import MAIN_REF

_ATTEMPTS = 3

Stage = Callable[[Staging, Mapping[str, str]], bool]
"""Stages a change of a table, whose snapshot gets these properties; returns whether there is any."""


def list_maintained() -> Iterator[tuple[str, str, str]]:
    """Yield ref, name and pointer of each table to maintain: of main, and what branches of people changed.

    Audit branches belong to their runs. Nessie merges no table that two sides changed, so with it nothing is
    maintained while there are branches.
    """
    branches = [ref for ref in list_refs() if ref.name != MAIN_REF]
    if nessie.is_used() and branches:
        return
    with borrow_connection() as conn:
        found = [(MAIN_REF, table, at) for table, at in read_pointers(conn, MAIN_REF).items()]
        for ref in branches:
            if not ref.state.startswith("audit"):
                changes = list_changes(conn, ref.name)
                found += [(ref.name, m.table, m.new) for m in changes if m.new and m.kind == "TABLE"]
    yield from found


def change_layout(ref: str, table: str, action: str, stage: Stage) -> bool:
    """Commit what `stage` stages on the present version of a table; returns whether there was anything.

    Raises LockTimeout, StorageFailed; the table is as it was then.
    """
    for _ in range(_ATTEMPTS):
        lake, note = LakeCatalog(ref), Note(action, commit_id=uuid.uuid4().hex)
        with lock_tables(ref, [table], run_id=action) as conn:
            location = read_pointers(conn, ref, [table]).get(table)
            if location is None:
                return False
            staging = Staging(lake.table_at(table, location), is_new=False)
            properties = {"millpond.window": NOTHING, "millpond.commit_id": note.commit_id or ""}
            try:
                with name_read_errors(table):
                    if not stage(staging, properties):
                        lake.discard()
                        return False
                    _, new = staging.finish()
            except BaseException:
                lake.discard()
                raise
            try:
                lake.point(conn, [Move(table, location, new)], note)
            except PointerMoved:
                continue
            return True
    return False


def count_expired(table: str, location: str) -> int:
    """Return how many versions of a table are due."""
    return len(find_expired(table, read_metadata(location)))


def expire(ref: str, table: str) -> bool:
    """Drop the versions that are due of a table that no commit does it for; see `retention`."""
    return change_layout(ref, table, EXPIRE, lambda staging, _: staging.expire())


def find_small_manifests(table: str, location: str) -> list[ManifestFile]:
    """Return the small manifests of a table, if they are so many that they should be merged."""
    metadata = read_metadata(location)
    snapshot = metadata.current_snapshot()
    if snapshot is None or metadata.format_version > NEWEST_WRITTEN:
        return []
    with name_read_errors(table):
        return select_small(snapshot.manifests(lake_io()))


def merge_manifests(ref: str, table: str) -> bool:
    """Merge the manifests of a table, as each of our own commits does once there are many."""

    def stage(staging: Staging, properties: Mapping[str, str]) -> bool:
        staging.rewrite_files((), (), None, properties)
        return True

    return change_layout(ref, table, MERGE_MANIFESTS, stage)
