"""What each channel is sent: reason, facts and a way on, in its own form, and no secret."""

from __future__ import annotations

from typing import Any

import pytest

from alerting import TOKEN, UNROUTED, Rows, alert, delivered, dispatching, end, put
from receivers import LOST, Web, mail, web
from waiting import until


def test_slack_gets_reason_facts_a_button_and_no_secret(slack: Web, routes: Any, rows: Rows) -> None:
    put(
        alert(
            1,
            title="dlt_x failed for 2026-10-01",
            reason=f"<!channel> ``` ?token=hunter22hunter22 https://hooks.slack.com/services/{TOKEN}",
            run_url="http://127.0.0.1:3000/runs/1",
            partition="2026-10-01",
            owners=("team:growing",),
        )
    )
    delivered(routes(), rows)
    (told,) = slack.taken
    header, reason, kept, facts, actions, footer = told["blocks"]
    assert header["text"]["text"] == "dlt_x failed for 2026-10-01"
    assert told["text"].startswith("dlt_x failed for 2026-10-01: &lt;!channel&gt;")
    assert "*Unharmed:* what the run completed" in kept["text"]["text"]
    assert "*Next:* fix the cause, then run: millpond materialize" in kept["text"]["text"]
    assert "*Owner*\nteam:growing" in [each["text"] for each in facts["fields"]]
    assert "&lt;!channel&gt; '''" in reason["text"]["text"]
    (button,) = actions["elements"]
    assert (button["text"]["text"], button["url"]) == ("View logs", "http://127.0.0.1:3000/runs/1")
    assert "/runbook#run_failed" in footer["elements"][0]["text"]
    assert "verysecret" not in str(told)
    assert "hunter22" not in str(told) + str(rows("select * from alerts"))


def test_email_is_text_and_html_with_the_severity_in_its_subject(
    configure: Any, routes: Any, rows: Rows
) -> None:
    with mail() as server:
        configure(
            smtp_host="127.0.0.1",
            smtp_port=server.port,
            smtp_security="none",
            email_to="a@example.org, b@example.org",
        )
        put(alert(1, run_url="http://127.0.0.1:3000/runs/1", reason="<b>\n.\nbecause"))
        delivered(routes(), rows)
    (got,) = server.taken
    assert (got["Subject"], got["To"]) == ("[error] a1 failed: <b>", "a@example.org, b@example.org")
    text, html = got.get_body(("plain",)), got.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "<b>\n.\nbecause" in text.get_content().replace("\r", "")
    assert '<a href="http://127.0.0.1:3000/runs/1">View logs</a>' in html.get_content()
    assert "&lt;b&gt;" in html.get_content()


def test_pagerduty_opens_an_incident_and_closes_it_under_the_same_key(
    configure: Any, routes: Any, rows: Rows
) -> None:
    with web() as service:
        service.rule = lambda _: (202, {})
        configure(pagerduty_key="k" * 32, pagerduty_url=service.url)
        put(alert(1, severity="critical"))
        delivered(routes(), rows)
        end()
        delivered(routes(), rows)
    opened, closed = service.taken
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
    assert opened["payload"]["severity"] == "critical"


def test_an_incident_for_many_alerts_closes_when_the_last_of_them_is_over(
    configure: Any, routes: Any, rows: Rows
) -> None:
    with web() as service:
        configure(pagerduty_key="k" * 32, pagerduty_url=service.url)
        put(*(alert(n) for n in range(5)))
        delivered(routes(), rows)
        end("run:a0", "run:a1")
        with dispatching(routes()):
            until(lambda: not rows(UNROUTED))
        assert len(service.taken) == 1
        end()
        delivered(routes(), rows)
    assert [each["event_action"] for each in service.taken] == ["trigger", "resolve"]
    assert len({each["dedup_key"] for each in service.taken}) == 1


def test_jira_makes_one_issue_also_when_its_answer_was_lost_and_comments_the_end(
    configure: Any, routes: Any, rows: Rows
) -> None:
    with web() as service:
        service.answers = [LOST]
        service.replies = {"/rest/api/3/search": {"issues": [{"key": "DATA-7"}]}}
        configure(jira_url=service.url, jira_project="DATA", jira_user="u", jira_token="tokentoken")
        put(alert(1))
        delivered(routes(), rows)
        end()
        delivered(routes(), rows)
    made, comment = service.taken
    assert made["fields"]["summary"] == "a1 failed: because"
    assert "succeeded since" in comment["body"]
    assert ("POST", "/rest/api/2/issue/DATA-7/comment") in service.requests


def test_a_webhook_gets_the_same_idempotency_key_when_its_answer_was_lost(
    configure: Any, routes: Any, rows: Rows
) -> None:
    with web() as service:
        service.answers = [LOST, (500, {})]
        configure(webhook_url=f"{service.url}/hook")
        put(alert(1, tags=("layer=raw",)))
        delivered(routes(), rows)
    assert len({each["Idempotency-Key"] for each in service.headers}) == 1
    assert [each["repeat"] for each in service.taken] == [False, True]
    assert service.taken[0]["alerts"][0]["tags"] == ["layer=raw"]


@pytest.mark.filterwarnings("ignore:.imghdr. is deprecated")
def test_apprise_is_given_title_and_text(configure: Any, routes: Any, rows: Rows) -> None:
    with web() as service:
        configure(apprise_urls=service.url.replace("http", "json"))
        put(alert(1))
        delivered(routes(), rows)
    assert service.taken[0]["title"] == "a1 failed"
