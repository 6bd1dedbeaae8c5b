"""An address that cannot be opened is refused by the setting's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_settings import refused

from millpond.errors import ConfigError
from millpond.settings import (
    read_settings,
)


@pytest.mark.parametrize("name", ["MILLPOND_PUBLIC_URL", "MILLPOND_RUNBOOK_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "dagster.example.org",
        "https://",
        "https://a b",
        "https://me:secret@example.org",
        "https://example.org/?a=1",
        "https://example.org/#top",
        "https://example.org:99999",
        "ftp://example.org",
    ],
)
def test_an_address_that_could_not_be_opened_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    error = refused(name, value, monkeypatch)
    assert name in error.what
    assert "example.org" in error.next_step
    assert "secret" not in error.what


@pytest.mark.parametrize(
    "name",
    [
        *("SHOP_URL", "SLACK_WEBHOOK", "WEBHOOK_URL", "HEARTBEAT_URL", "PUBLIC_URL", "RUNBOOK_URL"),
        *(
            "QUEUE_URL",
            "QUEUE_ENDPOINT",
            "DEMO_URL",
            "PAGERDUTY_URL",
            "JIRA_URL",
            "S3_ENDPOINT",
            "NESSIE_URI",
        ),
    ],
)
def test_what_cannot_be_an_address_is_refused_by_the_settings_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for wrong in ("http://[::bad", "https://[1", "http://a..b", f"http://{'x' * 300}.org", "http://a:99999"):
        monkeypatch.setenv(f"MILLPOND_{name}", wrong.replace("//", "//u:S3cretPassw0rd@"))
        with pytest.raises(ConfigError) as refused:
            read_settings()
        assert f"MILLPOND_{name}" in refused.value.what + refused.value.next_step
        assert "S3cretPassw0rd" not in str(refused.value) + refused.value.next_step
