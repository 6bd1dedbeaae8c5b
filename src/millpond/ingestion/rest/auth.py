"""Credentials of requests, also such as are issued for a while by a server of tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from requests.auth import AuthBase, HTTPBasicAuth

from millpond import redaction
from millpond.errors import SourceMalformed, SourceRefused
from millpond.ingestion.rest import source_request
from millpond.ingestion.rest.http import SourceSession
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.rest.selection import parse_json
from millpond.ingestion.retry import Gate, Limits
from millpond.ingestion.source_errors import UNHARMED
from millpond.ingestion.spec import SourceSpec
from millpond.settings import variable

_EARLY: Final = 60.0
"""Seconds before its end from which on a token is requested anew; a tenth of its time, if that is less."""


def create_auth(source: SourceSpec, values: Values, limits: Limits, gate: Gate) -> AuthBase | None:
    """Return the credential that the spec declares as requests takes it; None where there is none."""
    found = source_request.credential(source, values)
    if found and found["type"] == "oauth2_client_credentials":
        return OAuth2Token(source.source, found, limits, gate)
    return static_auth(found)


def static_auth(found: Mapping[str, Any] | None) -> AuthBase | None:
    """Return a credential that stays the same, as requests takes it."""
    if found is None:
        return None
    if found["type"] == "bearer":
        return _ApiKey("Authorization", f"Bearer {found['token']}", "header")
    if found["type"] == "http_basic":
        return HTTPBasicAuth(found["username"], found["password"])
    return _ApiKey(found["name"], found["api_key"], found.get("location", "header"))


class _ApiKey(AuthBase):
    def __init__(self, name: str, value: str, location: str) -> None:
        self._name, self._value, self._location = name, value, location

    def __call__(self, request: Any) -> Any:
        if self._location == "query":
            request.prepare_url(request.url, {self._name: self._value})
        else:
            request.headers[self._name] = self._value
        return request


class OAuth2Token(AuthBase):
    """A bearer token by client credentials, one for all streams of a load, requested anew as it expires."""

    def __init__(self, source: str, declared: Mapping[str, Any], limits: Limits, gate: Gate) -> None:
        self._source, self._declared, self._limits, self._gate = source, declared, limits, gate
        self._token, self._until, self._lock = "", 0.0, threading.Lock()

    def __call__(self, request: Any) -> Any:
        """Return `request` with the token; raises a SourceError where none is issued."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._renew()
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _renew(self) -> None:
        declared, began = self._declared, time.monotonic()
        url = declared["access_token_url"]
        with SourceSession(self._source, url, lambda body: body, self._limits, self._gate) as session:
            try:
                answer = session.post(
                    url,
                    data={
                        "grant_type": "client_credentials",
                        "client_id": declared["client_id"],
                        "client_secret": declared["client_secret"],
                        **declared["access_token_request_data"],
                    },
                    headers={"Accept": "application/json"},
                )
            except SourceRefused as error:
                raise SourceRefused(
                    f"no token was issued: {error.what}",
                    unharmed=UNHARMED,
                    next_step=f"check {variable('user', self._source)}, {variable('token', self._source)} and"
                    f" auth in sources/{self._source}.yaml",
                ) from None
        try:
            found = parse_json(answer.content)
            self._token = found["access_token"]
            redaction.register(self._token)
            lasts = float(found.get("expires_in") or declared["default_token_expiration"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SourceMalformed(  # without the answer, which may hold a token
                f"source {self._source}: the answer of {redaction.redacted(url)} holds no access_token",
                unharmed=UNHARMED,
                next_step=f"check auth.access_token_url in sources/{self._source}.yaml",
            ) from None
        self._until = began + lasts - min(_EARLY, lasts / 10)
