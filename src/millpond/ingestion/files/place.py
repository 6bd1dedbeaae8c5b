"""Where the files of a source are: a folder of this machine, S3, or what else fsspec opens."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

from millpond.errors import ConfigError, SourceMissing, SourceRefused, SourceUnreachable
from millpond.ingestion.source_errors import UNHARMED
from millpond.redaction import excerpt, redacted
from millpond.settings import Settings, variable

_log = logging.getLogger(__name__)
_S3_OPTIONS: Final = ("endpoint_override", "region", "scheme")
_SECONDS: Final = 30
_DENIED: Final = re.compile(
    r"ACCESS_DENIED|Invalid_?Access_?Key|Signature_?Does_?Not_?Match|HTTP.* 403\b", re.I
)
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class Entry:
    """A file: its path below the source's folder, bytes, time of change, and what tells its versions."""

    path: str
    size: int
    modified: dt.datetime
    version: str


Wanted = Callable[[str], bool]
"""Whether the file at a path is one that is looked for."""


def any_file(path: str) -> bool:  # noqa: ARG001 - what a listing asks of each path
    """Return True."""
    return True


class Place(Protocol):
    """A folder of files."""

    def entries(self, below: str, depth: int | None, wanted: Wanted = any_file) -> Iterator[Entry]:
        """Yield the files below the folder `below` whose paths are `wanted`; none if it is not there.

        They are `depth` folders down at most. Of paths that are not wanted, nothing but the name is read.
        """

    def look(self, path: str) -> Entry | None:
        """Return the file at `path` as it is now; None if there is none."""

    def open(self, path: str) -> BinaryIO:
        """Return the bytes of the file at `path`; raises OSError."""

    def show(self, path: str) -> str:
        """Return the address of the file at `path`, to be shown."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder called so is no data: hidden, temporary or still on its way."""
    return name.startswith((".", "_")) or name.lower().endswith(
        ("~", ".part", ".partial", ".tmp", ".temp", ".swp", ".crdownload", ".filepart", ".inprogress")
    )


class LocalFolder:
    """A folder of this machine; links out of it, and linked folders, are left out with a warning."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        if not self._root.is_dir():
            raise SourceMissing(
                f"there is no folder {root}",
                unharmed=UNHARMED,
                next_step="see whether it is mounted and the address right; then repeat the load",
            )

    def entries(self, below: str, depth: int | None, wanted: Wanted = any_file) -> Iterator[Entry]:
        """Yield the regular files whose paths are `wanted`."""
        start = self._root / below
        if start.is_dir() and start.resolve().is_relative_to(self._root):
            yield from self._walk(start, f"{below}/" if below else "", depth, wanted)

    def _walk(self, folder: Path, prefix: str, depth: int | None, wanted: Wanted) -> Iterator[Entry]:
        with os.scandir(folder) as found:
            for each in sorted(found, key=lambda entry: entry.name):
                path = f"{prefix}{each.name}"
                if not path.isprintable() and not _is_text(path):
                    _log.warning("%r is left out: its name is not UTF-8", self.show(path))
                    continue
                if each.is_symlink():
                    if Path(each.path).is_dir():
                        _log.warning("%s is a link to a folder, and left out", self.show(path))
                    elif (entry := self.look(path)) is not None and wanted(path):
                        yield entry
                elif each.is_dir(follow_symlinks=False):
                    if depth != 0:
                        deeper = None if depth is None else depth - 1
                        yield from self._walk(Path(each.path), f"{path}/", deeper, wanted)
                elif (
                    wanted(path)
                    and (entry := _find_entry(path, partial(each.stat, follow_symlinks=False))) is not None
                ):
                    yield entry

    def look(self, path: str) -> Entry | None:
        """Return the regular file at `path`."""
        return _find_entry(path, partial(self._stat, path))

    def _stat(self, path: str) -> os.stat_result | None:
        file = self._root / path
        if file.is_symlink() and not file.resolve().is_relative_to(self._root):
            _log.warning("%s is a link that leads out of %s, and left out", self.show(path), self._root)
            return None
        return file.stat()

    def open(self, path: str) -> BinaryIO:
        """Return the bytes of a file inside of the folder."""
        file = (self._root / path).resolve()
        if not file.is_relative_to(self._root):
            raise FileNotFoundError(path)
        return file.open("rb")

    def show(self, path: str) -> str:
        """Return the file's path."""
        return str(self._root / path)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_entry(path: str, look: Callable[[], os.stat_result | None]) -> Entry | None:
    """Return the regular file that `look` finds; None if it finds none."""
    try:
        found = look()
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in _GONE:
            raise
        return None
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    modified = dt.datetime.fromtimestamp(found.st_mtime, dt.UTC)
    return Entry(path, found.st_size, modified, f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}")


class RemoteFolder:
    """A folder of a file system of fsspec."""

    def __init__(self, system: Any, root: str, scheme: str) -> None:
        self._system, self._root, self._scheme = system, root.strip("/"), scheme

    def entries(self, below: str, depth: int | None, wanted: Wanted = any_file) -> Iterator[Entry]:
        """Yield the files whose paths are `wanted`; the folders of an object store are parts of names."""
        start = "/".join(part for part in (self._root, below) if part)
        deep = None if depth is None else depth + 1
        try:
            found = self._system.find(start, maxdepth=deep, detail=True)
        except FileNotFoundError:
            found = {}
        if not found and not self._system.exists(self._root.partition("/")[0]):
            raise SourceMissing(
                f"there is no {self.show(below)}",
                unharmed=UNHARMED,
                next_step="see whether the address is right and the account may list it; then repeat",
            )
        for name, facts in sorted(found.items()):
            path = name.strip("/").removeprefix(self._root).lstrip("/")
            if wanted(path):
                yield self._entry(path, facts)

    def look(self, path: str) -> Entry | None:
        """Return the file at `path`."""
        self._system.invalidate_cache()
        try:
            return self._entry(path, self._system.info(f"{self._root}/{path}"))
        except FileNotFoundError:
            return None

    def _entry(self, path: str, facts: Any) -> Entry:
        keys = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
        when = next((facts[key] for key in keys if facts.get(key) is not None), None)
        if when is None:
            when = self._system.modified(f"{self._root}/{path}")
        if isinstance(when, str):
            when = dt.datetime.fromisoformat(when)
        if not isinstance(when, dt.datetime):
            when = dt.datetime.fromtimestamp(float(when), dt.UTC)
        modified = when.astimezone(dt.UTC) if when.tzinfo else when.replace(tzinfo=dt.UTC)
        size = int(facts.get("size") or 0)
        tag = facts.get("ETag") or facts.get("etag") or modified.isoformat()
        return Entry(path, size, modified, f"{size}-{str(tag).strip(chr(34))}")

    def open(self, path: str) -> BinaryIO:
        """Return the bytes of a file."""
        found: BinaryIO = self._system.open(f"{self._root}/{path}", "rb")
        return found

    def show(self, path: str) -> str:
        """Return the file's address."""
        return redacted(f"{self._scheme}://{self._root}/{path}")


def open_place(source: str, url: str, configured: Settings) -> Place:
    """Return the folder at `url`; raises ConfigError, a SourceError."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in {"", "file"}:
        folder = configured.project / Path(url.removeprefix("file://")).expanduser()
        try:
            return LocalFolder(folder)
        except OSError as error:
            raise to_source_error(error, str(folder)) from None
    try:
        if scheme in {"s3", "s3a"}:
            return RemoteFolder(*_s3(source, url, configured), "s3")
        import fsspec

        system, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{source}: {redacted(url)} cannot be opened: {excerpt(str(error))}",
            next_step=f"set {variable('url', source)} to a folder, s3://… or another address that fsspec"
            " opens, and install what that needs",
        ) from None
    return RemoteFolder(system, root, scheme)


def _s3(source: str, url: str, configured: Settings) -> tuple[Any, str]:
    """Return the file system of S3 and the path in it; the source's account comes before that of the lake."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow import fs

    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    if unknown := sorted(set(given) - set(_S3_OPTIONS)):
        raise ConfigError(
            f"{source}: an address of S3 has no option {unknown[0]}",
            next_step=f"there are {', '.join(_S3_OPTIONS)}, as in s3://bucket/drop?region=eu-central-1",
        )
    own = configured.source(source)
    key, secret = configured.s3_access_key, configured.s3_secret_key
    endpoint = urlsplit(configured.s3_endpoint or "")
    options = {
        "access_key": own.user or (key.get_secret_value() if key else None),
        "secret_key": own.token.get_secret_value()
        if own.token
        else secret.get_secret_value()
        if secret
        else None,
        "region": configured.s3_region,
        "endpoint_override": endpoint.netloc or None,
        "scheme": endpoint.scheme or None,
        **given,
    }
    system = fs.S3FileSystem(
        connect_timeout=_SECONDS,
        request_timeout=_SECONDS,
        **{name: value for name, value in options.items() if value},
    )
    return ArrowFSWrapper(system), f"{parts.netloc}{parts.path}"


def to_source_error(error: OSError, place: str) -> SourceRefused | SourceUnreachable:
    """Return the error of a file or folder at `place` that cannot be read."""
    if isinstance(error, PermissionError) or _DENIED.search(str(error)):
        return SourceRefused(
            f"{place} may not be read",
            unharmed=UNHARMED,
            next_step="give the account that runs Millpond the right to read it; in S3, check the access key"
            " and the secret too",
        )
    if isinstance(error, FileNotFoundError):
        return SourceUnreachable(
            f"{place} was deleted after it had been listed",
            unharmed=UNHARMED,
            next_step="repeat the load, which lists the files again",
        )
    return SourceUnreachable(
        f"{place} could not be read: {excerpt(str(error))}",
        unharmed=UNHARMED,
        next_step="see whether the disk or the server is there and the account right; then repeat the load",
    )
