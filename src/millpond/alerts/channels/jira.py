"""Jira: an issue for each message, and a comment on it when the alert is resolved.

The incident's key is a label of the issue, so that a repeated attempt finds the issue of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from millpond.alerts.channels.http import send_request
from millpond.alerts.message import Message
from millpond.redaction import redacted, register
from millpond.settings import Settings

_SUMMARY_LIMIT = 250


@dataclass(frozen=True)
class JiraChannel:
    """Creates issues through Jira's REST API."""

    url: str
    project: str
    issue_type: str
    user: str | None = None
    token: SecretStr | None = None
    name: str = "jira"
    incidents: bool = True

    @classmethod
    def of(cls, settings: Settings) -> JiraChannel:
        """Return the channel that the settings describe."""
        if settings.jira_token:
            register(settings.jira_token.get_secret_value())
        return cls(
            settings.jira_url or "",
            settings.jira_project or "",
            settings.jira_issue_type,
            settings.jira_user,
            settings.jira_token,
        )

    def send(self, message: Message) -> None:
        """Create the issue, or comment that it is resolved; raises AlertNotSent."""
        if message.action == "resolve":
            if issue := self._find(message.incident):
                self._post(f"/rest/api/2/issue/{issue}/comment", {"body": redacted(message.plain)})
            return
        if message.repeat and self._find(message.incident):
            return
        fields = {
            "project": {"key": self.project},
            "issuetype": {"name": self.issue_type},
            "summary": message.subject(_SUMMARY_LIMIT),
            "description": redacted(message.plain),
            "labels": ["millpond", message.incident],
        }
        self._post("/rest/api/2/issue", {"fields": fields})

    def _find(self, incident: str) -> str | None:
        query = {"jql": f'project = "{self.project}" and labels = "{incident}"', "fields": "key"}
        answer = send_request(
            self.name, "GET", f"{self.url}/rest/api/3/search/jql", parameters=query, account=self._account
        )
        issues = answer.json().get("issues") or [{}]
        key: str | None = issues[0].get("key")
        return key

    def _post(self, path: str, body: dict[str, object]) -> None:
        send_request(self.name, "POST", self.url + path, body=body, account=self._account)

    @property
    def _account(self) -> tuple[str, str] | None:
        return (self.user, self.token.get_secret_value()) if self.user and self.token else None
