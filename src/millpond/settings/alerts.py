"""The settings of alert channels; a channel without its settings is not used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator


class AlertSettings(BaseModel):
    """Part of `Settings`: addresses and secrets of the channels."""

    alerts_file: Path = Field(
        Path("alerts.yaml"),
        description="who is notified of what; relative to the project, such as alerts.yaml",
    )
    public_url: str | None = Field(
        None,
        description="base address of Dagster's pages as people reach it, for example"
        " https://dagster.example.org; default: the local address",
    )
    runbook_url: str | None = Field(
        None,
        description="address of the runbook, whose entries are called like the kinds of alerts, for example"
        " https://wiki.example.org/runbook; default: the page /runbook beside Dagster's pages",
    )
    slack_webhook: SecretStr | None = Field(
        None, description="Slack's incoming webhook, for example https://hooks.slack.com/…; never logged"
    )
    smtp_host: str | None = Field(None, description="server that takes e-mail, for example smtp.example.org")
    smtp_port: int = Field(587, gt=0, le=65535, description="port of that server, for example 587")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is encrypted: starttls, tls or none"
    )
    smtp_user: str | None = Field(None, description="account at that server, for example millpond")
    smtp_password: SecretStr | None = Field(None, description="its password; never logged")
    email_from: str = Field(
        "millpond@localhost", description="sender of e-mail, for example millpond@example.org"
    )
    email_to: str | None = Field(
        None, description="who gets e-mail, comma-separated, for example data@example.org"
    )
    pagerduty_key: SecretStr | None = Field(
        None, description="PagerDuty's integration key (Events API v2), 32 characters; never logged"
    )
    pagerduty_url: str = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="where PagerDuty takes events, for example https://events.eu.pagerduty.com/v2/enqueue",
    )
    jira_url: str | None = Field(
        None, description="address of Jira, for example https://example.atlassian.net"
    )
    jira_user: str | None = Field(None, description="account in Jira, for example data@example.org")
    jira_token: SecretStr | None = Field(None, description="its API token; never logged")
    jira_project: str | None = Field(None, description="key of the project for issues, for example DATA")
    jira_issue_type: str = Field("Task", description="type of those issues, for example Task")
    webhook_url: SecretStr | None = Field(
        None,
        description="address that gets alerts as JSON, for example https://example.org/hook; never logged",
    )
    apprise_urls: SecretStr | None = Field(
        None, description="addresses for Apprise, space-separated, for example ntfy://topic; never logged"
    )

    @field_validator("slack_webhook", "webhook_url")
    @classmethod
    def _webhook_is_an_address(cls, webhook: SecretStr | None) -> SecretStr | None:
        if webhook and not webhook.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must start with https://, for example https://hooks.slack.com/services/…")
        return webhook

    @field_validator("public_url", "runbook_url")
    @classmethod
    def _is_a_page(cls, url: str | None) -> str | None:
        if not url:
            return None
        try:
            parts = urlsplit(url)
            whole = bool(parts.scheme in ("http", "https") and parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole or re.search(r"[\s<>\"'`\\|\x00-\x1f]", url):
            raise ValueError("is not an address; it starts with http:// or https:// and names a host")
        if parts.username or parts.password:
            raise ValueError("must hold no user and no password: everyone who gets an alert sees it")
        if parts.query or parts.fragment:
            raise ValueError("must end before ? and #: pages and entries are added to it")
        return url.rstrip("/")

    @field_validator("pagerduty_url", "jira_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/") if url else url
