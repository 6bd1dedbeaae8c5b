"""`millpond alerts` lists, shows, tries out, resends and silences."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from alerting import FAST, alert, delivered, end, put
from millpond.alerts.outbox import outbox
from millpond.cli.main import app
from millpond.errors import AlertNotSent, ConfigError
from millpond.runtime.home import Home
from millpond.settings import Settings
from receivers import web


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["alerts", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def as_json(*arguments: str) -> Any:
    return json.loads(said(*arguments, "--json"))


def refused(kind: type[Exception], *arguments: str) -> str:
    with pytest.raises(kind) as error:
        CliRunner().invoke(app, ["alerts", *arguments], catch_exceptions=False)
    return str(error.value)


def rows(statement: str) -> list[dict[str, Any]]:
    with outbox() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


@pytest.fixture
def fast(home: Home, configure: Callable[..., Settings], tmp_path: Any) -> Callable[[], Settings]:
    (tmp_path / "alerts.yaml").write_text(FAST)
    return lambda: configure(alerts_file=tmp_path / "alerts.yaml")


def test_list_shows_what_is_open_and_with_all_what_is_over(fast: Callable[[], Settings]) -> None:
    assert "no alert is open" in said("list")
    put(alert(1), alert(2))
    delivered(fast(), rows)
    end("run:a1")
    assert "a2 failed" in said("list")
    assert "a1 failed" not in said("list")
    everything = as_json("list", "--all")
    assert [each["title"] for each in everything] == ["a2 failed", "a1 failed"]
    assert everything[0]["told"] == {"log": "delivered"}
    assert as_json("list", "--kind", "tick_failed") == []
    unknown = CliRunner().invoke(app, ["alerts", "list", "--kind", "nosuch"])
    assert unknown.exit_code == 2
    assert "there is no kind 'nosuch'" in unknown.output


def test_show_tells_reason_deliveries_with_their_errors_and_the_runbook(
    fast: Callable[[], Settings], configure: Callable[..., Settings]
) -> None:
    with web() as slack:
        slack.answers = [(500, {})]
        configure(slack_webhook=slack.url)
        put(alert(1))
        delivered(fast(), rows)
    (row,) = rows("select id from alerts")
    text = said("show", str(row["id"]))
    assert "because" in text
    assert "slack     delivered, 2 tries" in text
    assert "/runbook#run_failed" in text
    assert len(as_json("show", str(row["id"]))["deliveries"]) == 2
    assert "there is no alert 999999" in refused(ConfigError, "show", "999999")


def test_test_sends_through_one_channel_or_says_why_not(
    home: Home, configure: Callable[..., Settings]
) -> None:
    assert "slack is not set up" in refused(ConfigError, "test", "slack")
    assert "slak is not a channel" in refused(ConfigError, "test", "slak")
    with web() as slack:
        configure(slack_webhook=slack.url)
        assert "slack accepted it" in said("test", "slack")
        slack.answers = [(404, {})]
        assert "slack answered 404" in refused(AlertNotSent, "test", "slack")
    assert len(slack.taken) == 1


def test_resend_tells_it_again(fast: Callable[[], Settings], configure: Callable[..., Settings]) -> None:
    with web() as slack:
        configure(slack_webhook=slack.url)
        put(alert(1))
        delivered(fast(), rows)
        (row,) = rows("select id from alerts")
        assert "through 2 channels" in said("resend", str(row["id"]))
        delivered(fast(), rows)
    assert [each["text"] for each in slack.taken] == ["a1 failed: because", "a1 failed: because"]


def test_close_ends_an_alert_once_says_who_and_why_and_notifies_of_the_end(
    fast: Callable[[], Settings], configure: Callable[..., Settings]
) -> None:
    with web() as slack:
        configure(slack_webhook=slack.url)
        put(alert(1))
        delivered(fast(), rows)
        number = str(rows("select id from alerts")[0]["id"])
        assert f"alert {number} is closed" in said("close", number, "--reason", "the source is gone")
        assert "was already closed: Closed by" in said("close", number, "--reason", "again")
        again = as_json("close", number)
        delivered(fast(), rows)
    assert (again["was_open"], bool(again["closed_by"]), bool(again["resolved_at"])) == (False, True, True)
    assert again["resolution"].endswith(": the source is gone.")
    assert "the source is gone" in said("list", "--all")
    assert [each["text"] for each in slack.taken] == ["a1 failed: because", "Resolved: a1 failed"]
    assert "`millpond alerts list --all` shows them" in refused(ConfigError, "close", "999999")


def test_what_is_silenced_is_told_afterwards_if_it_is_still_open(
    fast: Callable[[], Settings], configure: Callable[..., Settings]
) -> None:
    with web() as slack:
        configure(slack_webhook=slack.url)
        put(alert(1))
        assert as_json("silence", "a*", "--for", "2h")["open"] == 1
        put(alert(2), alert(3), alert(4, assets=("b",)))
        delivered(fast(), rows)
        assert [each["text"] for each in slack.taken] == ["a4 failed: because"]
        assert "silent until" in said("list")
        end("run:a2")
        with outbox() as connection:
            connection.execute("update alert_deliveries set next_attempt = now() where state = 'silenced'")
        delivered(fast(), rows)
    assert {each["text"] for each in slack.taken[1:]} == {"a1 failed: because", "a3 failed: because"}


@pytest.mark.parametrize("command", ["list", "show", "test", "resend", "close", "silence"])
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"Example: millpond alerts {command}" in said(command, "--help")
