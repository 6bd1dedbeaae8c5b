"""Main's pointers as a file in the warehouse: what metadata cannot tell, which versions main has.

Of tables and views: the metadata says which it is.

Branches write into the same folders, so that the newest metadata file may be one that was never merged. If
the catalog is lost, it is made again from this file. With the profile scale, Postgres is yours to back up.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path

import psycopg

from millpond.naming import MAIN_REF
from millpond.settings import settings

NAME = "main.pointers.json"
_POINTERS = """
    select coalesce(json_object_agg(table_namespace || '.' || table_name, metadata_location), '{}')::text
    from iceberg_tables where catalog_name = %s
"""
_log = logging.getLogger(__name__)


def save_pointers(conn: psycopg.Connection, ref: str) -> None:
    """Write the pointers of main after a commit on `ref`; the commit stands even if that fails.

    The lock makes concurrent commits read in the order in which they write.
    """
    configured = settings()
    if ref != MAIN_REF or configured.scale:
        return
    try:
        folder = os.open(configured.warehouse, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found = conn.execute(_POINTERS, (MAIN_REF,)).fetchone()
        assert found is not None
        unfinished = configured.warehouse / f".{NAME}"
        unfinished.write_text(found[0])
        unfinished.replace(configured.warehouse / NAME)
    except (OSError, psycopg.Error) as error:
        _log.warning("%s was not written: %s", configured.warehouse / NAME, error)
    finally:
        os.close(folder)


def read_saved_pointers(warehouse: Path) -> dict[str, str] | None:
    """Return the pointers of main as of the last commit; None if there are none, or broken ones."""
    try:
        found = json.loads((warehouse / NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return {str(table): str(location) for table, location in found.items()}
