"""Requests to alerting services, and what a response, or none, means for the message."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from millpond.errors import AlertNotSent
from millpond.redaction import excerpt, redacted, register

_SECONDS = (3.0, 10.0)
"""Timeouts: to connect, and between two parts of a response."""
_GATEWAY = (requests.codes.bad_gateway, requests.codes.gateway_timeout)
"""Statuses of a proxy that does not know the outcome."""


def keep_secret(address: str) -> None:
    """Register a secret address and its path for redaction."""
    path = urlsplit(address).path
    for secret in (address, path if len(path) > 4 else "", path.rsplit("/", 1)[-1]):
        register(secret)


def send_request(
    name: str,
    method: str,
    address: str,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    account: tuple[str, str] | None = None,
    parameters: dict[str, str] | None = None,
) -> requests.Response:
    """Return the response of service `name` if its status is 2xx.

    Raises AlertNotSent, which quotes no address, with the service's `Retry-After`, and with `uncertain` if
    the request may have taken effect.
    """
    try:
        answer = requests.request(
            method,
            address,
            json=body,
            headers=headers,
            auth=account,
            params=parameters,
            timeout=_SECONDS,
            allow_redirects=False,
        )
    except requests.ConnectTimeout as error:
        raise _no_response_error(name, error, uncertain=False) from None
    except requests.ConnectionError as error:
        raise _no_response_error(name, error, uncertain="NewConnectionError" not in str(error)) from None
    except requests.RequestException as error:
        raise _no_response_error(name, error, uncertain=True) from None
    if answer.ok and answer.status_code < 300:
        return answer
    raise AlertNotSent(
        f"{name} answered {answer.status_code} {excerpt(answer.content)}",
        unharmed="the alert, which is in the log and is sent again later",
        next_step=f"check the settings of {name} in .env, then run `millpond alerts test {name}`",
        retry_after=_parse_retry_after(answer.headers.get("Retry-After")),
        uncertain=answer.status_code in _GATEWAY,
    )


def _no_response_error(name: str, error: Exception, *, uncertain: bool) -> AlertNotSent:
    return AlertNotSent(
        redacted(f"{name} did not respond: {type(error).__name__}: {error}"),
        unharmed="the alert, which is in the log and is sent again later",
        next_step=f"check the settings of {name} in .env, then run `millpond alerts test {name}`",
        uncertain=uncertain,
    )


def _parse_retry_after(header: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, given as a number or as a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return max(0.0, (zoned - dt.datetime.now(dt.UTC)).total_seconds())
