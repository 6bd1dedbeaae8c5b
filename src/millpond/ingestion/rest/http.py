"""One request, carried out with patience: retried, bounded in time and size, its failure explained."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

import requests
from requests import PreparedRequest, Response
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError,
    ContentDecodingError,
    RequestException,
    SSLError,
    Timeout,
)

from millpond.errors import SourceError, SourceMalformed
from millpond.ingestion.rest.bodies import as_utf8, look_of
from millpond.ingestion.rest.deadline import WatchedAdapter
from millpond.ingestion.rest.endpoint import Endpoint
from millpond.ingestion.rest.formats import to_json
from millpond.ingestion.retry import Gate, Limits, backoff, read_retry_after
from millpond.ingestion.source_errors import SourceErrors, add_attempts, origin
from millpond.redaction import Redacting, excerpt

_LEAST_SECONDS = 0.1
_MALFORMED_ATTEMPTS: Final = 3
_CHUNK: Final = 256 * 1024

logging.getLogger("urllib3.connectionpool").addFilter(Redacting())  # it logs whole addresses

Decode = Callable[[bytes | None], Any]
"""Turns a body, None where there is none, into a page; raises ValueError with the reason if it is none."""


class SourceSession(requests.Session):
    """A session with one source: it goes nowhere else, whatever redirects and page links say.

    The answer to each request carries its decoded page as `page`; a 304 has none, nor has an answer with a
    status that is in `no_more` at that moment.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        decode: Decode,
        limits: Limits,
        gate: Gate,
        endpoint: Endpoint | None = None,
    ) -> None:
        """`endpoint` says which answers mean that there are no rows, and what format they have."""
        super().__init__()
        self.no_more: set[int] = set()
        self._source_errors = SourceErrors(source, base_url, limits.wait)
        self.headers["User-Agent"] = "millpond"
        self._source_errors.check_address(base_url)
        found = self.merge_environment_settings(base_url, {}, None, None, None)
        self.proxies, self.verify, self.cert = found["proxies"], found["verify"], found["cert"]
        self.trust_env = False  # read once; and no password from a .netrc
        adapter = _RetryingAdapter(self._source_errors, decode, limits, gate, self.no_more, endpoint)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def prepare_request(self, request: requests.Request) -> PreparedRequest:
        """Return `request` as it will be sent; raises SourceRefused if it cannot be."""
        try:
            return super().prepare_request(request)
        except (RequestException, ValueError) as error:
            raise self._source_errors.unsendable(request.url, error) from None

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Return the answer to `request`; raises a SourceError."""
        try:
            return super().send(request, **options)
        except (RequestException, ValueError) as error:
            raise self._source_errors.unsendable(request.url, error) from None


class _Failed(Exception):
    """One attempt failed; another may succeed. `error` is what to raise if none is made."""

    def __init__(self, error: SourceError, asked: tuple[float, str] | None = None) -> None:
        super().__init__()
        self.error, self.asked = error, asked


class _RetryingAdapter(WatchedAdapter):
    def __init__(
        self,
        source_errors: SourceErrors,
        decode: Decode,
        limits: Limits,
        gate: Gate,
        no_more: set[int],
        endpoint: Endpoint | None,
    ) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._source_errors, self._decode, self._limits, self._gate = source_errors, decode, limits, gate
        self._no_more = no_more
        home = origin(source_errors.base_url)
        self._home = {home, ("https", home[1], 443)}

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        """Return the answer to `request`, its page decoded; raises a SourceError when patience ends."""
        if (there := origin(request.url or "")) not in self._home:
            raise self._source_errors.elsewhere(request, there)
        started, asked_so_far, malformed = time.monotonic(), 0.0, 0
        for attempt in range(1, self._limits.attempts + 1):
            self._gate.wait()
            left = self._limits.budget - (time.monotonic() - started - asked_so_far)
            if left <= 0 and attempt > 1:
                break
            try:
                return self._attempt(request, min(self._limits.timeout, max(left, _LEAST_SECONDS)), options)
            except _Failed as failure:
                problem = failure
            malformed += isinstance(problem.error, SourceMalformed)
            if malformed == _MALFORMED_ATTEMPTS:
                break
            if problem.asked:
                asked_so_far += problem.asked[0]
                if asked_so_far > self._limits.wait:
                    raise self._source_errors.limit_error(request, problem.asked)
                self._gate.hold(problem.asked[0])
                self._gate.wait(problem.asked[0] + random.uniform(0, min(1.0, problem.asked[0] / 10)))  # noqa: S311
                continue
            wait, spent = backoff(attempt), time.monotonic() - started - asked_so_far
            if attempt == self._limits.attempts or spent + wait >= self._limits.budget:
                break
            self._gate.wait(wait)
        raise add_attempts(problem.error, attempt, time.monotonic() - started)

    def _attempt(self, request: PreparedRequest, seconds: float, options: dict[str, Any]) -> Response:
        options.update(stream=True, timeout=(seconds, seconds))
        too_late = f"no whole answer within {seconds:.3g} s"
        with self._gate.deadline(seconds) as deadline:
            try:
                response = super().send(request, **options)
                body = self._body(request, response)
            except SSLError as error:
                raise self._source_errors.refused_error(
                    request,
                    f"the connection is not secure: {_cause(error)}",
                    "check the server's certificate",
                ) from None
            except ContentDecodingError:
                raise _Failed(
                    self._source_errors.malformed_error(request, "its compression is broken", b"")
                ) from None
            except (ConnectionError, Timeout, ChunkedEncodingError) as error:
                reason = too_late if deadline.expired else _cause(error)
                raise _Failed(self._source_errors.unreachable(request, reason)) from None
            except RequestException as error:
                raise self._source_errors.refused_error(
                    request, f"the request cannot be made: {error}", "check the address and the token"
                ) from None
        if deadline.expired:
            raise _Failed(self._source_errors.unreachable(request, too_late))
        return self._check(request, response, body)

    def _body(self, request: PreparedRequest, response: Response) -> bytes:
        chunks, size = [], 0
        try:
            for chunk in response.iter_content(_CHUNK):
                chunks.append(chunk)
                size += len(chunk)
                if size > self._limits.body_bytes:
                    raise self._source_errors.refused_error(
                        request,
                        f"the answer is larger than {self._limits.body_bytes >> 20} MB",
                        "ask for smaller pages, or raise MILLPOND_RESPONSE_MAX_MB",
                    )
        except BaseException:
            response.close()  # an answer that is not read to its end would keep its connection
            raise
        body = b"".join(chunks)
        response._content = body
        return body

    def _check(self, request: PreparedRequest, response: Response, body: bytes) -> Response:
        status, asked = response.status_code, read_retry_after(response.headers)
        if self._endpoint and self._endpoint.ignores(status, body):
            response.page, response.no_more = self._decode(None), True  # type: ignore[attr-defined]
            return response
        if status == 429 or (status == 403 and asked):
            raise _Failed(self._source_errors.limit_error(request, asked), asked)
        if status >= 500 or status == 408:
            error = self._source_errors.unreachable(request, f"HTTP {status}: {excerpt(body, 120)}")
            raise _Failed(error, asked)
        if (
            status in self._no_more
            or response.is_redirect
            or (status == 304 and "If-None-Match" in request.headers)
        ):
            return response
        if status == 202:
            raise _Failed(
                self._source_errors.unreachable(request, "HTTP 202: the answer is not ready yet"), asked
            )
        if not 200 <= status < 300:
            raise self._source_errors.status(request, status, body)
        try:
            has_format = self._endpoint and self._endpoint.format and status != 204
            if body or has_format:  # once, so that whoever looks into it after this reads the same text
                text = to_json(as_utf8(body, response.headers), response.headers, self._endpoint)
                response._content, response.encoding = text, "utf-8"
            page = self._decode(None if status == 204 else response.content)
        except ValueError as error:
            reason = f"{error} ({look_of(body, response.headers)})" if body else str(error)
            raise _Failed(self._source_errors.malformed_error(request, reason, body)) from None
        response.page = page  # type: ignore[attr-defined]
        return response


def _cause(error: BaseException) -> str:
    """Return what went wrong at the bottom of a chain of wrapped errors, without addresses."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"
