"""The errors of one source: what was requested, what went wrong, which setting to check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import idna

from millpond.errors import SourceError, SourceLimited, SourceMalformed, SourceRefused, SourceUnreachable
from millpond.redaction import excerpt, redacted
from millpond.settings import variable

if TYPE_CHECKING:
    from requests import PreparedRequest

UNHARMED: Final = "what was loaded before; nothing of this was written"

Origin = tuple[str, str, int | None]
"""Scheme, host and port: what two addresses of one server have in common."""


def origin(url: str) -> Origin:
    """Return the server that `url` leads to."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.isascii():  # as it is sent
            host = idna.encode(host, uts46=True).decode()
    except ValueError:
        return "", "", -1
    scheme = parts.scheme.lower()
    try:
        port = parts.port
    except ValueError:
        port = -1
    return scheme, host, port or {"http": 80, "https": 443}.get(scheme)


@dataclass(frozen=True)
class SourceErrors:
    """Words the errors of the source called `source` at `base_url`."""

    source: str
    base_url: str
    wait_limit: float

    def check_address(self, url: str) -> None:
        """Raise SourceRefused unless `url` is one that can be asked."""
        scheme, host, port = origin(url)
        if scheme not in {"http", "https"} or not host or port == -1:
            raise SourceRefused(
                f"source {self.source}: {redacted(url)!r} is no address",
                unharmed=UNHARMED,
                next_step=f"set {variable('url', self.source)} to one that starts with http:// or https://",
            )

    def unsendable(self, url: str | None, error: Exception) -> SourceRefused:
        """The request to `url` cannot be made at all."""
        from requests.exceptions import TooManyRedirects

        reason, advice = f"the request cannot be made: {error}", "check the address and the endpoint's path"
        if isinstance(error, TooManyRedirects):
            reason, advice = "its redirects lead in a circle", f"check {variable('url', self.source)}"
        elif isinstance(error, UnicodeError):  # whose text holds what could not be written, maybe a secret
            reason = "the request cannot be made: a header or the address holds signs that are not latin-1"
            advice = f"check {variable('token', self.source)}, and the headers in sources/{self.source}.yaml"
        return SourceRefused(
            f"source {self.source}, {redacted(url or '')}: {redacted(reason)}",
            unharmed=UNHARMED,
            next_step=advice,
        )

    def elsewhere(self, request: PreparedRequest, there: Origin) -> SourceRefused:
        """The request would go to another server."""
        return self.refused_error(
            request,
            f"it points to another server, {there[1]}:{there[2]}; requests stay with their source",
            f"if that is where the source moved, set {variable('url', self.source)} to it",
        )

    def status(self, request: PreparedRequest, status: int, body: bytes) -> SourceRefused:
        """The source answered 4xx, or something that is neither success nor failure."""
        url, user, token = (variable(field, self.source) for field in ("url", "user", "token"))
        advice = f"check the endpoint and its parameters in sources/{self.source}.yaml"
        if status in {401, 403}:
            advice = f"check {token}: it is missing, wrong, expired or may not read this"
        elif status in {404, 410}:
            advice = f"check {url} (now {redacted(self.base_url)}) and {user}"
        return self.refused_error(request, f"HTTP {status}: {excerpt(body, 120)}", advice)

    def refused_error(self, request: PreparedRequest, reason: str, next_step: str) -> SourceRefused:
        """The request cannot succeed, however often it is made."""
        return SourceRefused(self._what(request, reason), unharmed=UNHARMED, next_step=next_step)

    def unreachable(self, request: PreparedRequest, reason: str) -> SourceUnreachable:
        """There was no usable answer."""
        return SourceUnreachable(
            self._what(request, reason),
            unharmed=UNHARMED,
            next_step=f"see whether the source is up and {variable('url', self.source)} right, then repeat",
        )

    def malformed_error(self, request: PreparedRequest, reason: str, body: bytes) -> SourceMalformed:
        """The answer is not what the protocol says."""
        shown = f"; it begins {excerpt(body)!r}" if body else ""
        return SourceMalformed(
            self._what(request, f"the answer is no page of rows: {reason}") + shown,
            unharmed=UNHARMED,
            next_step=f"open the address by hand; {variable('url', self.source)} may lead to another program",
        )

    def limit_error(self, request: PreparedRequest, asked: tuple[float, str] | None) -> SourceLimited:
        """The source wants fewer requests; `asked` is its wait in seconds and the header that says so."""
        said = (
            f"asks to wait {asked[0]:.0f} s ({asked[1]})"
            if asked
            else "limits the rate of requests (HTTP 429)"
        )
        return SourceLimited(
            self._what(request, f"the source {said}; this installation waits {self.wait_limit:g} s at most"),
            unharmed=UNHARMED,
            next_step="repeat the load after that time, or raise MILLPOND_RATE_LIMIT_WAIT_SECONDS",
        )

    def _what(self, request: PreparedRequest, reason: str) -> str:
        return f"source {self.source}, {request.method} {redacted(request.url or '')}: {redacted(reason)}"


def add_attempts(error: SourceError, attempts: int, seconds: float) -> SourceError:
    """Return `error`, saying how long it was tried."""
    what = f"{error.what} (attempt {attempts}, after {seconds:.1f} s; given up)"
    return type(error)(what, unharmed=error.unharmed, next_step=error.next_step)


def add_place(error: SourceError, place: str) -> SourceError:
    """Return `error`, saying in which asset and partitions."""
    unharmed = error.unharmed or UNHARMED
    return type(error)(f"{place}: {error.what}", unharmed=unharmed, next_step=error.next_step)
