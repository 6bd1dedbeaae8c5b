"""The bytes of an answer as UTF-8 JSON: decoded once, strictly, by what the answer says or begins with.

What cannot be JSON is refused by name: which compression, which charset, what it looks like instead.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Final

from urllib3.response import HTTPResponse

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNMARKED: Final = (
    (re.compile(rb"\0\0\0[^\0]", re.DOTALL), "utf-32-be"),
    (re.compile(rb"[^\0]\0\0\0", re.DOTALL), "utf-32-le"),
    (re.compile(rb"\0[^\0]", re.DOTALL), "utf-16-be"),
    (re.compile(rb"[^\0]\0", re.DOTALL), "utf-16-le"),
)
"""How JSON begins in them: its first character is one of ASCII."""
_COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"))
_NOT_TEXT: Final = frozenset({"unicode_escape", "raw_unicode_escape", "idna", "punycode", "utf-7"})
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_BLANKS: Final = b" \t\r\n"
_LOOKED_AT: Final = 10_000
_LOOKS: Final = (
    ("a login page", re.compile(r"(?is)(<!doctype html|<html).*(type=.?password|log.?in\b|sign.?in\b)")),
    ("HTML", re.compile(r"<!doctype html|<html", re.IGNORECASE)),
    ("XML", re.compile("<")),
    ("JSONP", re.compile(r"[\w.$]+\(")),
    ("JSON Lines (endpoint.format: jsonl)", re.compile(r"[\[{].*[\]}][ \t\r]*\n\s*[\[{]")),
    ("CSV (endpoint.format: csv)", re.compile(r"[^\n\[{]*[,;\t][^\n]*\n")),
)


def as_utf8(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the text of an answer as UTF-8, without a byte order mark.

    Bytes that are no UTF-8 become half surrogates in JSON's notation, so that the row they are in is to blame
    and not the page. Raises ValueError naming the compression or the charset that cannot be read.
    """
    _check_compression(body, headers.get("Content-Encoding", ""))
    declared = _read_charset(headers.get("Content-Type", ""))
    charset = declared or _charset_of(body)
    try:
        codec = codecs.lookup(charset).name
    except LookupError:
        codec = ""
    if not codec or codec in _NOT_TEXT:
        raise ValueError(f"its charset {charset!r} is unknown")
    if codec in {"utf-8", "utf-8-sig", "ascii"}:
        return _check_mark(body.removeprefix(codecs.BOM_UTF8))
    try:
        text = body.decode(codec)
    except (LookupError, UnicodeError, TypeError) as error:
        said = "declared" if declared else "recognised"
        reason = getattr(error, "reason", str(error))
        raise ValueError(f"it is no {charset}, which is its {said} charset ({reason})") from None
    return text.removeprefix("\ufeff").encode()


def look_of(body: bytes, headers: Mapping[str, str]) -> str:
    """Return what a `body` that is no JSON looks like, with its content type, as the end of a sentence."""
    text = body.lstrip(_BLANKS)[:_LOOKED_AT].decode("utf-8", "replace")
    kind = next((kind for kind, looks in _LOOKS if looks.match(text)), "")
    said = f"content type {_content_type(headers) or 'not declared'}"
    return f"it looks like {kind}; {said}" if kind else said


def _check_compression(body: bytes, declared: str) -> None:
    unread = [name for part in declared.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    for name in unread:
        if name not in HTTPResponse.CONTENT_DECODERS:
            raise ValueError(f"it is compressed as {name}, which was not asked for and cannot be read")
    for mark, name in _COMPRESSED:
        if body.startswith(mark):
            raise ValueError(f"it is compressed as {name}, which its headers do not say")


def _read_charset(content_type: str) -> str:
    found = re.search(r"charset\s*=\s*[\"']?([^\s;\"']+)", content_type, re.IGNORECASE)
    return found[1].lower() if found else ""


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "")[:80]


def _charset_of(body: bytes) -> str:
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return charset
    return next((charset for begins, charset in _UNMARKED if begins.match(body)), "utf-8")


def _check_mark(body: bytes) -> bytes:
    """Return `body` with each byte that is no UTF-8 as two half surrogates, which no neighbour completes."""
    if body.isascii():
        return body
    try:
        body.decode()
    except UnicodeDecodeError as error:
        text = body.decode("utf-8", "surrogateescape")
        if re.search(r"\\[\udc80-\udcff]", text):
            raise ValueError(f"it is no UTF-8 ({error.reason} at byte {error.start})") from None
        return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):x}" * 2, text).encode()
    return body
