"""Files of the lake: flushed to disk before a pointer leads to them, or removed.

They are in a folder, or with the profile scale in S3, which keeps what it acknowledged.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

from millpond.errors import ConfigError, LakeError, StorageFailed
from millpond.runtime.home import layout
from millpond.settings import Settings, settings

SCHEME = "file://"
NOT_IN_PATHS = frozenset("%#?*[]{}")
_NOT_IN_FOLDERS = re.compile(r"[^\w-]")
"""Characters of names that clients misread in the location of a table."""
_S3_CONNECT_SECONDS = "5"
_S3_REQUEST_SECONDS = "30"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM = "Out of Memory Error"
"""DuckDB's error where neither memory nor its temporary files, before they fill their disk, have room."""


def warehouse_uri() -> str:
    """Return the address of the folder that holds the tables of every ref."""
    configured = settings()
    if configured.scale:
        return str(configured.iceberg_warehouse_path)
    if not configured.warehouse.is_dir():
        layout(configured)  # creates it
    folder = str(configured.warehouse)
    if odd := sorted(set(folder) & NOT_IN_PATHS):
        raise ConfigError(
            f"the warehouse {folder} has {' '.join(odd)} in its path, which other readers of Iceberg misread",
            next_step="set MILLPOND_ICEBERG_WAREHOUSE_PATH to a folder without it, for example /srv/lake",
        )
    return f"{SCHEME}{folder}"


def locate(name: Iterable[str]) -> str:
    """Return the folder of a namespace, or what a new table's begins with, by the levels of its name."""
    return "/".join((warehouse_uri(), *(_NOT_IN_FOLDERS.sub("_", level) for level in name)))


def storage_properties(configured: Settings) -> dict[str, str]:
    """Return PyIceberg's properties to reach the files: none for a folder; those of S3 hold its keys."""
    if not configured.scale:
        return {}
    key, secret = configured.s3_access_key, configured.s3_secret_key
    properties = {
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "s3.region": configured.s3_region,
        "s3.endpoint": configured.s3_endpoint,
        "s3.access-key-id": key.get_secret_value() if key else None,
        "s3.secret-access-key": secret.get_secret_value() if secret else None,
        "s3.connect-timeout": _S3_CONNECT_SECONDS,
        "s3.request-timeout": _S3_REQUEST_SECONDS,
    }
    return {name: value for name, value in properties.items() if value}


def lake_io() -> PyArrowFileIO:
    """Return the FileIO that reads the lake; one for the process, with its connections."""
    return _make_io(tuple(storage_properties(settings()).items()))


def local_path(location: str) -> Path | None:
    """Return the path of a local file; None for an object store."""
    path = find_local(location)
    return None if path is None else Path(path)


def find_local(location: str) -> str | None:
    """Return what `local_path` does, as text."""
    if location.startswith("file:"):
        return location.removeprefix(SCHEME).removeprefix("file:")
    return None if "://" in location else location


def check_location(location: str) -> str:
    """Return the location of a table or metadata file; raises ValueError if it has a step up."""
    if {"..", "."} & set(location.split("/")):
        raise ValueError(f"the location {location} has a step up; name the folder itself")
    return location


def discard(locations: Iterable[str]) -> None:
    """Remove files that no pointer leads to; housekeeping removes those that cannot be removed now."""
    for location in locations:
        if path := local_path(location):
            path.unlink(missing_ok=True)
        else:
            with suppress(OSError):
                lake_io().delete(location)


@contextmanager
def name_read_errors(what: str) -> Iterator[None]:
    """Turn errors of the storage while `what` is read into StorageFailed.

    Raises LakeError for a table of which rows were deleted by equality, which PyIceberg cannot read.
    """
    try:
        yield
    except (ValueError, NotImplementedError) as error:
        if "equality deletes" not in str(error):
            raise
        raise LakeError(
            f"{what} has rows that another program deleted by equality, which Millpond does not read",
            unharmed="the table, which other engines read; nothing was written",
            next_step="have that program rewrite the table's data files (Spark: rewrite_data_files), "
            "or undo its commit: `millpond history`",
        ) from error
    except OSError as error:
        raise StorageFailed(
            f"files of {what} could not be read from {warehouse_uri()}: {error}",
            unharmed="the tables; nothing was written",
            next_step=advise("the warehouse folder: its files and their permissions"),
        ) from error


def list_files(io: PyArrowFileIO, folder: str) -> Iterator[tuple[str, FileInfo]]:
    """Yield the location of each file below `folder`, and what the storage says of it; none without it."""
    scheme, netloc, path = io.parse_location(folder)
    filesystem: FileSystem = io.fs_by_scheme(scheme, netloc)
    root = folder.removesuffix(path)
    for file in filesystem.get_file_info(FileSelector(path, allow_not_found=True, recursive=True)):
        yield f"{root}{file.path}", file


def is_disk_full(error: BaseException) -> bool:
    """Return whether a disk without space caused an error, be it Python, Arrow or DuckDB that wrote."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "errno", None) in _FULL or says_disk_full(str(error))


def says_disk_full(text: str) -> bool:
    """Return whether an error's text says that a disk is full, or that DuckDB has no room beside memory."""
    return NO_ROOM in text or any(os.strerror(code) in text for code in _FULL)


def advise(local: str) -> str:
    """Return what to check when files cannot be read or written; `local` if they are in a folder."""
    if not settings().scale:
        return f"check {local}; then repeat the run"
    return (
        "check S3: that it answers at MILLPOND_S3_ENDPOINT, that MILLPOND_S3_ACCESS_KEY and …_SECRET_KEY "
        "are valid and may write there (`millpond provision` checks it); then repeat the run"
    )


@lru_cache(4)
def _make_io(properties: tuple[tuple[str, str], ...]) -> PyArrowFileIO:
    return PyArrowFileIO(dict(properties))
