"""Apprise (https://github.com/caronc/apprise), an optional extra that is imported when used."""

from __future__ import annotations

import importlib

from pydantic import SecretStr

from millpond.alerts.message import Message
from millpond.errors import AlertNotSent
from millpond.redaction import redacted, register

_TYPES = {"info": "info", "warning": "warning", "error": "failure", "critical": "failure"}


class AppriseChannel:
    """Sends messages through Apprise to all its addresses."""

    name = "apprise"
    incidents = False

    def __init__(self, urls: SecretStr) -> None:
        self._urls = urls.get_secret_value().split()
        for url in self._urls:
            register(url)

    def send(self, message: Message) -> None:
        """Send the message; raises AlertNotSent."""
        try:
            apprise = importlib.import_module("apprise")
        except ModuleNotFoundError:
            raise AlertNotSent(
                "apprise is not installed",
                next_step='pip install "millpond[apprise]", or unset the addresses',
            ) from None
        service = apprise.Apprise()
        if not all([service.add(url) for url in self._urls]):  # noqa: C419 - all of them, also after a bad one
            raise AlertNotSent(
                "apprise does not support one of the addresses", next_step="correct MILLPOND_APPRISE_URLS"
            )
        kind = "success" if message.action == "resolve" else _TYPES[message.severity]
        sent = service.notify(title=redacted(message.title), body=redacted(message.plain), notify_type=kind)
        if not sent:
            # Apprise does not say which address failed; the others may have the message.
            raise AlertNotSent("apprise could not reach every address", uncertain=len(self._urls) > 1)
