"""Which channels there are here, and sending through all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from millpond.alerts.channel import Channel
from millpond.alerts.event import RunFailed
from millpond.alerts.log import LogChannel
from millpond.alerts.slack import SlackChannel
from millpond.errors import AlertNotSent
from millpond.settings import Settings


def channels(settings: Settings, logger: logging.Logger | None = None) -> list[Channel]:
    """Return the channels that are set up; the log is always among them, and first."""
    found: list[Channel] = [LogChannel(logger)]
    if settings.slack_webhook:
        found.append(SlackChannel(settings.slack_webhook))
    return found


def tell(event: RunFailed, through: Sequence[Channel], logger: logging.Logger) -> dict[str, str]:
    """Send `event` through every channel; returns for each that failed why, which is logged as well.

    One that is down keeps no other from being used, and nothing is raised: Dagster would not call again.
    """
    failed: dict[str, str] = {}
    for channel in through:
        try:
            channel.send(event)
        except AlertNotSent as error:
            failed[channel.name] = error.what
            logger.error("alert not sent: %s", error)
    return failed
