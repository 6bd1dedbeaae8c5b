"""Requests to services that take alerts: what an answer, or none, says about the message."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from millpond.errors import AlertNotSent
from millpond.redaction import excerpt, redacted, register

_SECONDS = (3.0, 10.0)
"""To connect, and between two pieces of an answer."""
_GATEWAY = (requests.codes.bad_gateway, requests.codes.gateway_timeout)
"""What something in between says when it does not know the outcome."""


def keep_secret(address: str) -> None:
    """Have an address that is a secret, and its path, masked wherever they turn up."""
    path = urlsplit(address).path
    for secret in (address, path if len(path) > 4 else "", path.rsplit("/", 1)[-1]):
        register(secret)


def ask(
    name: str,
    method: str,
    address: str,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    account: tuple[str, str] | None = None,
    parameters: dict[str, str] | None = None,
) -> requests.Response:
    """Return the answer of service `name` if it is 2xx.

    Raises AlertNotSent, which quotes no address, with what the service said about when to try again, and
    with `uncertain` where the request may have had its effect.
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
        raise _unreachable(name, error, uncertain=False) from None
    except requests.ConnectionError as error:
        raise _unreachable(name, error, uncertain="NewConnectionError" not in str(error)) from None
    except requests.RequestException as error:
        raise _unreachable(name, error, uncertain=True) from None
    if answer.ok and answer.status_code < 300:
        return answer
    raise AlertNotSent(
        f"{name} answered {answer.status_code} {excerpt(answer.content)}",
        unharmed="the alert is in the log and is tried again",
        next_step=f"check the settings of {name} in .env, then try it: `millpond alerts test {name}`",
        retry_after=_retry_after(answer.headers.get("Retry-After")),
        uncertain=answer.status_code in _GATEWAY,
    )


def _unreachable(name: str, error: Exception, *, uncertain: bool) -> AlertNotSent:
    return AlertNotSent(
        redacted(f"{name} gave no answer: {type(error).__name__}: {error}"),
        unharmed="the alert is in the log and is tried again",
        next_step=f"check the settings of {name} in .env, then try it: `millpond alerts test {name}`",
        uncertain=uncertain,
    )


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for, given as a number or as a date."""
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
