"""Files of the lake on their way to being real: forced to disk before a pointer leads to them, or removed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.typedef import Properties
from typing_extensions import override

_SCHEME = "file://"
_PARALLEL = 8


class NotedIO(PyArrowFileIO):
    """Reads and writes files, noting each one that it is to create."""

    def __init__(self, properties: Properties, created: list[str]) -> None:
        super().__init__(properties)
        self.created = created

    @override
    def new_output(self, location: str) -> PyArrowFile:
        self.created.append(location)
        return super().new_output(location)


def local_path(location: str) -> Path | None:
    """Return the path of a local file; None for an object store, which keeps what it acknowledged."""
    if location.startswith(_SCHEME):
        return Path(location.removeprefix(_SCHEME))
    return None if "://" in location else Path(location)


def flush(locations: Iterable[str]) -> None:
    """Force files and their folder entries to disk, lest a pointer survive a power cut that they do not."""
    files = {path for location in locations if (path := local_path(location))}
    with ThreadPoolExecutor(_PARALLEL, "flush") as pool:
        list(pool.map(_flush, files))
        list(pool.map(_flush, {path.parent for path in files}))


def discard(locations: Iterable[str]) -> None:
    """Remove files that no pointer leads to."""
    for location in locations:
        if path := local_path(location):
            path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
