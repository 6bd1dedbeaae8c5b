"""Files of the lake: flushed to disk before a pointer leads to them, or removed.

They are in a folder, or with the profile scale in S3, which keeps what it acknowledged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import Properties
from typing_extensions import override

from millpond.errors import ConfigError, StorageFailed
from millpond.internals.pyiceberg import PyArrowFile
from millpond.runtime.home import layout
from millpond.settings import Settings, settings

_SCHEME = "file://"
_PARALLEL = 8
_NOT_IN_PATHS = frozenset("%#?*[]{}")
_S3_CONNECT_SECONDS = "5"
_S3_REQUEST_SECONDS = "30"


class TrackingIO(PyArrowFileIO):
    """Reads and writes files, and adds each file that it creates to `created`.

    Shares the process's connections unless its properties say how to reach S3.
    """

    def __init__(self, properties: Properties, created: list[str]) -> None:
        super().__init__(properties)
        self.created = created
        if not any(name.startswith("s3.") for name in properties):
            self.fs_by_scheme = lake_io().fs_by_scheme

    @override
    def new_output(self, location: str) -> PyArrowFile:
        self.created.append(location)
        return super().new_output(location)


def warehouse_uri() -> str:
    """Return the address of the folder that holds the tables of every ref."""
    configured = settings()
    if configured.scale:
        return str(configured.iceberg_warehouse_path)
    folder = str(layout(configured).warehouse)
    if odd := sorted(set(folder) & _NOT_IN_PATHS):
        raise ConfigError(
            f"the warehouse {folder} has {' '.join(odd)} in its path, which other readers of Iceberg misread",
            next_step="set MILLPOND_ICEBERG_WAREHOUSE_PATH to a folder without it, for example /srv/lake",
        )
    return f"{_SCHEME}{folder}"


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
    if location.startswith(_SCHEME):
        return Path(location.removeprefix(_SCHEME))
    return None if "://" in location else Path(location)


def flush(locations: Iterable[str]) -> None:
    """Flush files and their folder entries to disk, so that no pointer survives a power cut without them."""
    files = {path for location in locations if (path := local_path(location))}
    with ThreadPoolExecutor(_PARALLEL, "flush") as pool:
        list(pool.map(_flush, files))
        list(pool.map(_flush, {path.parent for path in files}))


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
    """Turn errors of the storage while `what` is read into StorageFailed."""
    try:
        yield
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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
