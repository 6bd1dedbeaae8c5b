"""The text of a file, line by line: decompressed as its name says, decoded as declared."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

import pyarrow as pa

from millpond.errors import SourceMalformed
from millpond.ingestion.files.spec import COMPRESSED

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"PK\x03\x04", "zip"),
)
BROKEN_ARCHIVE: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, pa.ArrowInvalid)
"""What is raised for an archive that is cut off or damaged."""
_BYTES: Final = 1 << 20
_BLOCK: Final = 1 << 19
"""Signs of a block: fewer than a row may have, so that lines of a block need not be measured."""


def decompress(stream: BinaryIO, name: str) -> BinaryIO:
    """Return the content of a file called `name`."""
    if name.lower().endswith(COMPRESSED[0]):
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if name.lower().endswith(COMPRESSED[1]):
        return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"))
    if name.lower().endswith(COMPRESSED[2]):
        return cast("BinaryIO", bz2.BZ2File(stream))
    return cast("BinaryIO", lzma.LZMAFile(stream)) if name.lower().endswith(COMPRESSED[3]) else stream


class TextLines:
    """The lines of a text file, ends included; bytes that cannot be decoded are half surrogates.

    A line longer than `most` characters is cut there; `cut` says that the last one was.
    """

    def __init__(self, stream: BinaryIO, encoding: str, most: int, newline: str) -> None:
        begin = stream.read(_BYTES)
        self.encoding, self.most, self.cut = _find_encoding(begin, encoding), most, False
        buffered = io.BufferedReader(cast("io.RawIOBase", _Rejoined(begin, stream)), _BYTES)
        self._text = io.TextIOWrapper(buffered, self.encoding, "surrogateescape", newline)

    def __iter__(self) -> Iterator[str]:
        return self.cut_lines(self._text)

    def blocks(self) -> Iterator[str]:
        """Yield the text that was not read yet in blocks of whole lines; a line that is too long is cut."""
        rest, read = "", self._text.read
        while text := read(_BLOCK):
            if text[-1] == "\r":
                text += read(1)
            text = rest + text
            end = max(text.rfind("\n"), text.rfind("\r")) + 1
            if not end and len(text) > self.most:
                text = text[: self.most + 1]
                end = len(text)
                while (more := self._text.readline(self.most)) and more[-1] not in "\r\n":
                    pass
            if end:
                yield text[:end]
            rest = text[end:]
        if rest:
            yield rest

    def cut_lines(self, text: io.TextIOBase) -> Iterator[str]:
        """Yield the lines of `text`."""
        read, limit = text.readline, self.most + 1
        while line := read(limit):
            if len(line) == limit and line[-1] not in "\r\n":
                self.cut = True
                while (more := read(limit)) and more[-1] not in "\r\n":
                    pass
            yield line
            self.cut = False


class _Rejoined(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, begin: bytes, rest: BinaryIO) -> None:
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, target: bytearray) -> int:  # type: ignore[override]
        found = self._begin[: len(target)] or self._rest.read(len(target))
        self._begin = self._begin[len(found) :]
        target[: len(found)] = found
        return len(found)


def _find_encoding(begin: bytes, declared: str) -> str:
    """Return the encoding of a file; its mark comes before what is declared. Raises SourceMalformed."""
    if packed := next((name for mark, name in _PACKED if begin.startswith(mark)), None):
        raise SourceMalformed(
            f"it is compressed as {packed}, which its name does not say",
            next_step=f"give its name the ending of that ({', '.join(COMPRESSED)}), or unpack it",
        )
    codec = codecs.lookup(declared).name
    marked = next((encoding for mark, encoding in _MARKS if begin.startswith(mark)), None)
    if marked and codec in {"utf-8", "utf-8-sig", marked}:
        return marked
    if codec == "utf-8" and b"\0" in begin[:4] and begin[:2].strip(b"\0"):
        raise SourceMalformed(
            "it looks like UTF-16 and is to be read as UTF-8",
            next_step="set encoding in the spec, for example encoding: utf-16-le",
        )
    return codec


def is_decoded(text: str) -> bool:
    """Return whether all of a text's bytes could be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """Return `text` with the bytes that could not be decoded as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
