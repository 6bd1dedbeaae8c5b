"""Makes a lost catalog again from the files of the warehouse, and Dagster's record of what is in them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from millpond.backup.lake_files import parse_metadata
from millpond.backup.loading import Report
from millpond.errors import BackupRefused
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import name_read_errors, warehouse_uri
from millpond.lake.hashing import Digests, combine_digests, compute_digests
from millpond.lake.metadata import read_metadata, read_summary
from millpond.lake.pointer_file import read_saved_pointers
from millpond.lake.pointers import Move, Note, find_kind, read_pointers
from millpond.lake.views import read_view
from millpond.lake.windows import Windows
from millpond.naming import MAIN_REF
from millpond.settings import settings

LOST = (
    *(
        "branches",
        "the log of commits, so that undo and --at begin anew",
        "alerts and what was sent",
    ),
    *("backfills", "runs with their logs and checks", "which schedules and sensors are on"),
)
"""What only the databases had."""


_REBUILD = "rebuild"
_USED = "select exists (select from lake_ref_log where ref = %(ref)s and action <> %(action)s)"
"""Whether main has had other commits than that of a rebuild, which may be repeated if it was interrupted."""


@dataclass(frozen=True)
class Rebuilt:
    """The tables and views of main and where their metadata is.

    `guessed` are those whose version no file names, `missing` those whose files are not there.
    """

    pointers: Mapping[str, str]
    guessed: list[str]
    views: Mapping[str, str]
    missing: list[str]


def rebuild_catalog(report: Report) -> Rebuilt:
    """Give main the tables whose files are in the warehouse, at the versions that its last commit had.

    Without the file that names them, a table gets the newest metadata in its folder, which may be that of a
    branch. Raises BackupRefused if the catalog has tables, or the warehouse has none.
    """
    configured = settings()
    if configured.scale:
        raise BackupRefused(
            "under the profile scale the catalog is not made again from the warehouse: Postgres is your own",
            next_step="restore Postgres from its backup, or `millpond restore PATH`",
        )
    newest = dict(_find_newest(configured.warehouse))
    saved = read_saved_pointers(configured.warehouse)
    named = newest if saved is None else saved
    views = {name: at for name, at in named.items() if _is_view(at)}
    chosen = {table: _choose(table, at, newest) for table, at in named.items() if table not in views}
    pointers = {table: at for table, at in chosen.items() if at}
    missing = sorted(name for name, at in chosen.items() if not at)
    if not pointers:
        raise BackupRefused(
            f"there are no tables in {configured.warehouse}",
            next_step="set MILLPOND_ICEBERG_WAREHOUSE_PATH to the warehouse, or `millpond restore PATH`",
        )
    lake = LakeCatalog(MAIN_REF)
    with borrow_connection() as conn:
        there = read_pointers(conn, MAIN_REF)
        used = conn.execute(_USED, {"ref": MAIN_REF, "action": _REBUILD}).fetchone() == (True,)
        if used or (there and there != pointers):
            raise BackupRefused(
                f"the catalog of this home is not lost: main has {len(there)} tables",
                next_step="`millpond doctor` examines it",
            )
        report(f"putting {len(pointers)} tables on main")
        moves = [Move(table, None, at) for table, at in sorted(pointers.items()) if table not in there]
        moves += [Move(view, None, at, "VIEW") for view, at in views.items() if not find_kind(MAIN_REF, view)]
        if moves:
            lake.point(conn, moves, Note(_REBUILD))
    both = {**pointers, **views}
    guessed = [name for name, at in both.items() if saved is None or saved.get(name) != at]
    return Rebuilt(pointers, sorted(guessed), views, missing)


@dataclass(frozen=True)
class Content:
    """The digest of each day of a table, and when each day was last written, as far as its history goes."""

    snapshot: int | None
    rows: int
    digests: Digests
    written: Mapping[dt.date, dt.datetime]


def read_content(table: str, location: str) -> Content:
    """Return what is in a table at a metadata file; its rows are read once."""
    found = LakeCatalog(MAIN_REF).table_at(table, location)
    column = found.properties.get("millpond.window_column")
    written: dict[dt.date, dt.datetime] = {}
    for snapshot in sorted(found.metadata.snapshots, key=lambda one: one.sequence_number or 0):
        at = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC)
        written |= dict.fromkeys(Windows.parse(read_summary(snapshot, "millpond.window")).days, at)
    import pyarrow as pa

    with name_read_errors(table):
        batches = found.scan().to_arrow_batch_reader()
        digests = combine_digests(compute_digests(pa.Table.from_batches([b]), column) for b in batches)
    rows = sum(digest.rows for digest in digests.values())
    return Content(found.metadata.current_snapshot_id, rows, digests, written)


def _find_newest(warehouse: Path) -> Iterator[tuple[str, str]]:
    """Yield each table that has a folder, and the newest of its metadata files."""
    best: dict[str, tuple[int, int, str]] = {}
    for path in warehouse.glob("*/*/metadata/*.metadata.json"):
        table = f"{path.parts[-4]}.{path.parts[-3].rpartition('-')[0]}"
        location = f"{warehouse_uri()}/{path.relative_to(warehouse)}"
        try:
            metadata = parse_metadata(location, path.read_bytes())
        except ValueError:  # cut off by a power cut
            continue
        found = metadata.get("last-sequence-number", 0), metadata.get("last-updated-ms", 0), location
        best[table] = max(best.get(table, found), found, key=lambda one: (one[1], one[0], one[2]))
    for table, (_, _, location) in best.items():
        yield table, location


def _is_view(location: str) -> bool:
    """Return whether a file in the warehouse is the metadata of a view."""
    try:
        return location.startswith(f"{warehouse_uri()}/") and bool(read_view(location))
    except Exception:  # noqa: BLE001 - whatever is wrong with a file, it is none of a view
        return False


def _choose(table: str, location: str, newest: Mapping[str, str]) -> str | None:
    """Return the location if its file can be read, else the newest that is there."""
    for at in (location, newest.get(table)):
        try:
            if at and at.startswith(f"{warehouse_uri()}/") and read_metadata(at):
                return at
        except Exception:  # noqa: S112, BLE001 - whatever is wrong with a file, another may do
            continue
    return None
