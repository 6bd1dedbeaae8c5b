"""Keeps secrets out of texts: messages, excerpts, log lines and tracebacks."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ahocorasick_rs import AhoCorasick

MASK: Final = "[redacted]"

_SHORTEST: Final = 4
_DISTINCT: Final = 8
"""A secret of at least this length is masked anywhere; a shorter one only as a separate word."""
_OUR_WORDS: Final = frozenset(
    {"admin", "catalog", "dagster", "demo", "main", "marts", "millpond", "minio", "minioadmin", "password"}
    | {"postgres", "read", "root", "secret", "test", "token", "trino"}
)
"""As secrets, these would be masked in every name; they are masked only where a text names them."""

_known: set[str] = set()
_words: set[str] = set()
_pieces: set[str] = set()
"""What secrets are within base64, but for the first and last characters: these hold bits of neighbours."""
_LEAST_PIECE: Final = 6
_BEFORE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-")
_AFTER: Final = re.compile(r"(?:[A-Za-z0-9+/_-]|%2[BbFf])*(?:\s*\n\s*[A-Za-z0-9+/_-]{0,3})?(?:=|%3[Dd]){1,2}")
_AFTER_UNPADDED: Final = re.compile(r"(?:[A-Za-z0-9+/_-]|%2[BbFf])*")
_finder = AhoCorasick(())
_registering = threading.Lock()
_NAMES = r"(?:[\w.-]*(?:token|secret|passw(?:or)?d|api[_-]?key|signature)|auth|pwd|sig|key)"
_WORD = r"(?:[a-z]{1,24}\d{0,3}|\d{1,4})"
_NO_SELECTION = rf"(?:(?<=[{{,])|(?<=[{{,]\s)|(?!(?-i:key:\"{_WORD}(?:[_/]+{_WORD})*\*?\")))"
"""Where a text is no selection of Dagster, `key:"fct_orders"`, which names an asset, unless within braces."""
_PATTERNS: Final = (
    (
        re.compile(rf"(?i)([?&;]|%3f|%26)({_NAMES})(=|%3d)(?!\[redacted\])[^&;\s\"'<>)\]}}]+"),
        rf"\1\2\3{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic|token)(\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{MASK}"),
    (
        re.compile(
            rf"(?i)([\"']?)\b{_NO_SELECTION}({_NAMES}|authorization|cookie|set-cookie)\1(\s*[:=]\s*)([\"'])(?!\[redacted\])[^\"']+\4"
        ),
        rf"\1\2\1\3\4{MASK}\4",
    ),
    (
        re.compile(
            r"(?i)^([\w-]*(?:authorization|cookie|secret|token|api-?key)\s*:\s*)(?!\[redacted\])\S.*$", re.M
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@\"']*):[^@/\s\"']+@"), rf"\1:{MASK}@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|pwd|token|api[_-]?key)(\s*=\s*)(?!\[redacted\])[^\s\"'&;,)\[\]]+"
        ),
        rf"\1\2{MASK}",
    ),
)

_SIGNS: Final = AhoCorasick(
    ["@", "api", "auth", "basic", "bearer", "cookie", "key", "passw", "pwd", "secret", "sig", "token"]
)
"""No pattern matches a text that contains none of these."""


def register(secret: str | None) -> None:
    """Mask `secret` in every text, log line and traceback of this process from now on.

    Also masked are its percent-encoded form, its escaped forms in Python, JSON, HTML and SQL, its SHA-1, and
    base64 texts that contain it. A secret of fewer than 4 characters is masked only where a text names it.
    """
    if not secret or len(secret) < _SHORTEST or secret.lower() in _OUR_WORDS:
        return
    global _finder
    with _registering:
        if secret not in _known | _words:
            (_words if len(secret) < _DISTINCT else _known).update(_spellings(secret))
            _known.add(hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest())
            _pieces.update(_encode(secret))
            _finder = _make_finder()
    install()


def register_address(address: str | None) -> None:
    """Mask the secrets in an address: its password, and secret parameters of its query."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return  # no address, so nothing is sent there
    register(parts.password and unquote(parts.password))
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if re.fullmatch(_NAMES, name, re.IGNORECASE):
            register(unquote(value))


def redacted(text: str) -> str:
    """Return `text` with registered secrets and anything that looks like a credential masked."""
    text = without_known(text)
    if not _SIGNS.find_matches_as_indexes(text.casefold()):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def without_known(text: str) -> str:
    """Return `text` with registered secrets masked, including broken and truncated ones."""
    if not _may_hold_secret(text):
        return text
    joined = _without_breaks(text)
    for piece in sorted((piece for piece in _pieces if piece in joined), key=len, reverse=True):
        text = _without_runs(text, piece)
    known = sorted(_known, key=len, reverse=True)
    for secret in known:
        text = text.replace(secret, MASK)
    for secret in known:
        half = _half(secret)
        if len(secret) >= 2 * _DISTINCT and (secret[:half] in text or secret[-half:] in text):
            text = _without_parts(text, secret)
    for secret in _words:
        if secret in text:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MASK, text)
    if "\n" in text:
        joined = _without_breaks(text)
        for secret in [s for s in _known if s in joined]:
            text = _patterns_of(secret).sub(MASK, text)
    return text


class Redacting(logging.Filter):
    """Masks the lines of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the line of `record`; always returns true."""
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


_excerpts: Final[deque[str]] = deque(maxlen=1000)
"""The latest excerpts of this process; an error is composed soon after the excerpt that it quotes."""


def without_excerpts(text: str) -> str:
    """Return `text` without what `excerpt` took from answers and libraries' messages: they may quote rows."""
    for found in sorted({*_excerpts.copy()}, key=len, reverse=True):
        for written in {found, repr(found)[1:-1]}:
            if written and written in text:
                edge = r"(?<!\w)" if written[0].isalnum() else ""
                end = r"(?!\w)" if written[-1].isalnum() else ""
                text = re.sub(rf"{edge}{re.escape(written)}{end}", "(hidden)", text)
    return text


def excerpt(body: bytes | str, limit: int = 200) -> str:
    """Return the beginning of an answer's body on one line, masked, for an error message."""
    text = body[: 64 * limit].decode("utf-8", "replace") if isinstance(body, bytes) else body[: 64 * limit]
    text = " ".join("".join(c if c.isprintable() else " " for c in redacted(text)).split())
    shown = text if len(text) <= limit else f"{text[:limit]}…"
    _excerpts.append(shown)
    return shown


def format_error(error: BaseException) -> str:
    """Return the traceback of `error` and of what caused it, masked."""
    return redacted("".join(traceback.format_exception(error)))


@lru_cache(1)
def install() -> None:
    """Mask log records and tracebacks of uncaught errors in this process."""
    logging.setLogRecordFactory(_mask_format(logging.getLogRecordFactory()))
    sys.excepthook = _guard(sys.excepthook, lambda kind, error, trace: (kind, error, trace))
    threading.excepthook = _guard(threading.excepthook, lambda a: (a.exc_type, a.exc_value, a.exc_traceback))


def _mask_format(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        try:
            line = made.getMessage()
        except (TypeError, ValueError, KeyError):
            return made  # the caller's format does not fit its arguments; logging reports that
        if (masked := redacted(line)) != line:
            made.msg, made.args = masked, ()
        if made.exc_info and made.exc_info[0] and not made.exc_text:
            shown = "".join(traceback.format_exception(*made.exc_info)).rstrip("\n")
            if (masked := redacted(shown)) != shown:
                made.exc_text = masked
        return made

    return record


def _guard(usual: Callable[..., Any], unpack: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
    """Return a hook that prints the masked traceback where there is something to mask, else does as usual."""

    def hook(*args: Any) -> None:
        shown = "".join(traceback.format_exception(*unpack(*args)))
        if (masked := redacted(shown)) == shown:
            usual(*args)
        else:
            sys.stderr.write(masked)

    return hook


def _spellings(secret: str) -> Iterator[str]:
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    escaped = {repr(secret)[1:-1], ascii(secret)[1:-1], repr(secret.encode())[2:-1], html.escape(secret)}
    escaped |= {secret.replace("'", "''"), json.dumps(secret, ensure_ascii=False)[1:-1]}
    once = {secret, *quoted, *escaped, *(re.sub("%..", lambda m: m[0].lower(), q) for q in quoted)}
    yield from once
    yield from {json.dumps(spelling)[1:-1] for spelling in once}
    yield from {json.dumps(json.dumps(spelling)[1:-1])[1:-1] for spelling in once}


def _encode(secret: str) -> Iterator[str]:
    """Yield what base64 makes of the secret behind zero, one or two other bytes, and its halves."""
    raw = secret.encode()
    for before, start in ((0, 0), (1, 2), (2, 3)):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            piece = encode(b"\0" * before + raw)[start : (before + len(raw)) * 8 // 6].decode()
            if len(piece) >= _LEAST_PIECE:
                parts = (piece, *_halves(piece))
                yield from parts
                yield from (quote(part, safe="") for part in parts)


def _without_runs(text: str, piece: str) -> str:
    """Mask each base64 text that holds `piece`, also where lines break it."""
    masked, done = [], 0
    for found in _patterns_of(piece).finditer(text):
        start, end = found.span()
        if start < done:
            continue
        while start > done and (text[start - 1] in _BEFORE or text[start - 3 : start - 1] == "%2"):
            start -= 1
        after = _AFTER.match(text, end) or _AFTER_UNPADDED.match(text, end)
        masked += [text[done:start], MASK]
        done = after.end() if after else end
    return "".join([*masked, text[done:]])


def _may_hold_secret(text: str) -> bool:
    """Return whether a part of a secret that is worth masking stands in `text`: most texts hold none."""
    find = _finder.find_matches_as_indexes
    return bool(find(text)) or ("\n" in text and bool(find(_without_breaks(text))))


def _make_finder() -> AhoCorasick:
    """Return what finds, in one pass over a text, any secret or half of one."""
    return AhoCorasick({*_known, *_words, *_pieces, *(half for s in _known for half in _halves(s))})


def _without_breaks(text: str) -> str:
    return re.sub(r"\s*\n\s*", "", text)


def _halves(secret: str) -> tuple[str, ...]:
    """Return beginning and end of a secret that is long enough to be known by them."""
    half = _half(secret)
    return (secret[:half], secret[-half:]) if len(secret) >= 2 * _DISTINCT else ()


def _half(secret: str) -> int:
    return max(_DISTINCT, (len(secret) + 1) // 2)


def _without_parts(text: str, secret: str) -> str:
    """Mask beginnings and ends that are at least half of `secret`, unless it is an address."""
    if "://" in secret:
        return text
    for size in range(len(secret) - 1, _half(secret) - 1, -1):
        text = text.replace(secret[:size], MASK).replace(secret[-size:], MASK)
    return text


@lru_cache(1024)
def _patterns_of(secret: str) -> re.Pattern[str]:
    return re.compile(r"(?:\s*\n\s*)?".join(map(re.escape, secret)))
