"""The runbook has an entry for each kind of alert, and names only commands that exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from documented import usage_error
from millpond.alerts.alert import Alert, compose
from millpond.alerts.kinds import KINDS
from millpond.alerts.message import runbook_page
from millpond.alerts.routing import read_routing
from millpond.cli.main import app
from millpond.cli.pages import render_runbook
from millpond.settings import Settings, settings

TEXT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
COMMANDS = sorted(set(re.findall(r"millpond ((?:alerts|branch) [a-z]+|[a-z]+)(?=[ `\n])", TEXT)))


def test_each_kind_has_an_entry_and_each_entry_a_kind() -> None:
    assert set(re.findall(r"^## (\w+)$", TEXT, re.M)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_link_to_the_runbook_is_a_whole_address_whose_anchor_is_on_the_page(
    kind: str, configure: Callable[..., Settings]
) -> None:
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/runbook#{kind}", runbook_page(kind))
    configure(public_url="https://dagster.example.org/lake/")
    assert runbook_page(kind) == f"https://dagster.example.org/lake/runbook#{kind}"
    configure(runbook_url="https://wiki.example.org/runbook")
    assert runbook_page(kind) == f"https://wiki.example.org/runbook#{kind}"
    assert f'<h2 id="{kind}">' in render_runbook()


@pytest.mark.parametrize("kind", KINDS)
def test_each_entry_ends_with_what_such_an_alert_says(kind: str) -> None:
    example = Alert(kind, "", "", "", partition="2026-11-01", assets=("fct_glucose_readings",))
    entry = TEXT.split(f"## {kind}\n")[1].split("\n#")[0]
    ending = compose("", example.unharmed, example.next_step, 1000).strip()
    assert entry.strip().endswith(f"```text\n{ending}\n```")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_it_names_exists(command: str) -> None:
    assert usage_error([*command.split(), "--help"]) == ""


@pytest.mark.parametrize("option", sorted(set(re.findall(r"materialize \"\S+\" (--\w+)", TEXT))))
def test_each_option_it_names_exists(option: str) -> None:
    assert option in CliRunner().invoke(app, ["materialize", "--help"]).output


def test_the_default_routing_sends_what_was_asked_for_where() -> None:
    import datetime as dt

    routing, now = read_routing(settings()), dt.datetime(2026, 11, 1, 12)

    def to(kind: str, severity: str) -> set[str]:
        alert = Alert(kind, "", "", "", severity=severity)  # type: ignore[arg-type]
        return set(routing.channels(alert, now)) - {"webhook", "apprise"}

    assert to("run_failed", "error") == {"log", "slack", "email"}
    assert to("partition_late", "error") == {"log", "email"}
    assert to("success_summary", "info") == {"log", "slack"}
    assert to("retries_exhausted", "critical") == {"log", "email", "pagerduty", "jira"}
