"""Files that the catalog leads to and the warehouse does not have."""

from __future__ import annotations

from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.errors import StorageFailed
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import list_files
from millpond.lake.metadata import list_manifest_files, read_metadata
from millpond.lake.pointers import read_pointers


def find_missing_files(ref: str) -> dict[str, list[str]]:
    """Return, for each table of `ref` that lacks files of its present version, where they should be.

    Each table's folder is listed once; no data file is opened. Raises RefNotFound.
    """
    with borrow_connection() as conn:
        pointers = read_pointers(conn, ref)
    io = LakeCatalog(ref).file_io()
    found = {table: _find_missing(io, location) for table, location in pointers.items()}
    return {table: missing for table, missing in found.items() if missing}


def _find_missing(io: PyArrowFileIO, location: str) -> list[str]:
    try:
        metadata = read_metadata(location)
        snapshot = metadata.current_snapshot()
        if snapshot is None:
            return []
        files = list_manifest_files(snapshot.manifests(io), io)
        needed = [location, snapshot.manifest_list, *files]
    except (OSError, StorageFailed):
        return [location]
    there = {location for location, _ in list_files(io, metadata.location)}
    outside = (file for file in needed if not file.startswith(f"{metadata.location}/"))
    missing = [file for file in needed if file.startswith(f"{metadata.location}/") and file not in there]
    return missing + [file for file in outside if not io.new_input(file).exists()]
