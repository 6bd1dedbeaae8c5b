"""The channels that send alerts, and which of them are set up.

Start reading in `channel`; a new channel is one file and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

from millpond.alerts.channels.apprise import AppriseChannel
from millpond.alerts.channels.channel import Channel, LogChannel
from millpond.alerts.channels.email import EmailChannel
from millpond.alerts.channels.jira import JiraChannel
from millpond.alerts.channels.pagerduty import PagerDutyChannel
from millpond.alerts.channels.slack import SlackChannel
from millpond.alerts.channels.webhook import WebhookChannel
from millpond.settings import Settings

__all__ = ["Channel", "channels"]

_FACTORIES: tuple[Callable[[Settings], Channel | None], ...] = (
    lambda _: LogChannel(),
    lambda s: SlackChannel(s.slack_webhook) if s.slack_webhook else None,
    lambda s: EmailChannel.of(s) if s.smtp_host and s.email_to else None,
    lambda s: PagerDutyChannel(s.pagerduty_key, s.pagerduty_url) if s.pagerduty_key else None,
    lambda s: JiraChannel.of(s) if s.jira_url and s.jira_project else None,
    lambda s: WebhookChannel(s.webhook_url) if s.webhook_url else None,
    lambda s: AppriseChannel(s.apprise_urls) if s.apprise_urls else None,
)


def channels(settings: Settings) -> dict[str, Channel]:
    """Return the channels that are set up, by name; the first is always the log."""
    return {channel.name: channel for make in _FACTORIES if (channel := make(settings))}
