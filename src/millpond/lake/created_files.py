"""Files that a change creates: written and flushed by other threads before a pointer leads to them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from concurrent.futures import Future, wait

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties
from typing_extensions import override

from millpond.internals.pyiceberg import PyArrowFile, WholeFile
from millpond.lake.files import NOT_IN_PATHS, SCHEME, find_local, lake_io
from millpond.lake.pools import get_pool

_PARALLEL = 8


class CreatedFiles(list[str]):
    """The locations of the files of one change. Once it is closed, none can be added or read for it.

    With `later`, local files whose content is known as a whole are written when they are flushed: their
    content is made in one go, and written by threads that need Python for a moment only.
    """

    class Closed(Exception):
        """The change is given up, because of another table or an interrupt."""

    closed = False

    def __init__(self, locations: Iterable[str] = (), *, later: bool = False) -> None:
        super().__init__(locations)
        self.later = later
        self._contents: dict[str, bytes] = {}
        self._begun: set[str] = set()
        self._complete: set[str] = set()
        self._flushes: list[Future[None]] = []

    def write_later(self, location: str, content: bytes) -> None:
        """Write a local file, which is in the list, when it is flushed."""
        self._contents[location] = content

    def flush_soon(self, locations: Collection[str]) -> None:
        """Begin to flush some of the files, which are complete, while others are written."""
        paths = {path: self._contents.pop(at, None) for at in locations if (path := find_local(at))}
        self._begun.update(locations)
        if paths:
            self._flushes.append(get_pool("flush", _PARALLEL).submit(_store, paths))

    def flush(self) -> None:
        """Write and flush all files and their folder entries to disk, so that they outlive a power cut."""
        for flush in self._flushes:
            flush.result()
        due = [location for location in self if location not in self._complete]
        folders: dict[str, dict[str, bytes | None]] = defaultdict(dict)
        for location in due:
            if path := find_local(location):
                files = folders[os.path.dirname(path)]
                if location not in self._begun:
                    files[path] = self._contents.pop(location, None)
        parts = [list(folders.items())[n::_PARALLEL] for n in range(_PARALLEL)]
        submit = get_pool("flush", _PARALLEL).submit
        self._flushes = [submit(_store_folders, part) for part in parts if part]
        for flush in self._flushes:
            flush.result()
        self._flushes = []
        self._complete.update(due)

    def give_up(self) -> None:
        """Write no more; ends when nothing is being written."""
        self._contents.clear()
        wait(self._flushes)
        self._flushes = []

    def close(self) -> None:
        """Let nothing be written or read for the change any more."""
        self.closed = True

    def refuse_closed(self) -> None:
        """Raise Closed if the change is given up."""
        if self.closed:
            raise self.Closed


class _NewFile(WholeFile):
    """A file of a change."""

    created: CreatedFiles
    _size: int | None = None

    @override
    def write_whole(self, content: bytes) -> None:
        if self.created.later and find_local(self.location):
            self.created.write_later(self.location, content)
            self._size = len(content)
        else:
            super().write_whole(content)

    @override
    def __len__(self) -> int:
        return super().__len__() if self._size is None else self._size


class TrackingIO(PyArrowFileIO):
    """Reads and writes files, and adds each file that it creates to `created`.

    Shares the process's connections unless its properties say how to reach S3.
    """

    def __init__(self, properties: Properties, created: CreatedFiles) -> None:
        super().__init__(properties)
        self.created = created
        self._own: list[str] = []
        if not any(name.startswith("s3.") for name in properties):
            self.fs_by_scheme = lake_io().fs_by_scheme

    @staticmethod
    @override
    def parse_location(location: str, properties: Properties = EMPTY_DICT) -> tuple[str, str, str]:
        if location.startswith(SCHEME + "/") and NOT_IN_PATHS.isdisjoint(location):
            return "file", "", location.removeprefix(SCHEME)
        return PyArrowFileIO.parse_location(location, properties)

    @override
    def new_input(self, location: str) -> PyArrowFile:
        self.created.refuse_closed()
        return super().new_input(location)

    @override
    def new_output(self, location: str) -> PyArrowFile:
        self.created.refuse_closed()
        self.created.append(location)
        self._own.append(location)
        scheme, host, path = self.parse_location(location, self.properties)
        file = _NewFile(location, path, self.fs_by_scheme(scheme, host))
        file.created = self.created
        return file

    def flush_soon(self) -> None:
        """Begin to flush the files that were created through this object, all of which are complete."""
        self.created.flush_soon(self._own)
        self._own = []


def _store_folders(folders: Iterable[tuple[str, dict[str, bytes | None]]]) -> None:
    """Flush the files of some folders, and then what is in the folders."""
    for folder, files in folders:
        _store(files)
        _flush(folder)


def _store(files: dict[str, bytes | None]) -> None:
    """Flush files, those with a content once it is written."""
    for path, content in files.items():
        if content is None:
            _flush(path)
        else:
            _write(path, content)


def _write(path: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
