"""Every alert reaches every channel it is for: once, grouped, and whatever the other end does meanwhile."""

from __future__ import annotations

import datetime as dt
import threading
import time
from email.utils import format_datetime
from typing import Any

import pytest

from alerting import FAST, OPEN, Rows, alert, delivered, dispatching, end, put
from millpond.alerts.dispatcher import Dispatcher
from millpond.alerts.outbox import outbox
from receivers import Mail, Web, mail, web
from waiting import until

TAKEN = "select 1 from alert_deliveries where channel = '{}' and state = 'delivered'"


def test_a_channel_that_fails_is_tried_until_it_takes_the_alert_and_the_others_do_not_wait(
    slack: Web, configure: Any, routes: Any, rows: Rows
) -> None:
    slack.rule = lambda n: (500, {}) if n <= 8 else (200, {})
    with web() as other:
        configure(webhook_url=other.url)
        put(alert(1))
        delivered(routes(), rows)
    assert len(slack.taken) == len(other.taken) == 1
    (row,) = rows("select attempts, state from alert_deliveries where channel = 'slack'")
    assert row == {"attempts": 9, "state": "delivered"}


def test_a_mail_server_that_is_down_gets_each_mail_once_when_it_is_back(
    home: object, configure: Any, routes: Any, rows: Rows
) -> None:
    with mail() as server:
        pass
    configure(smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", email_to="a@example.org")
    put(alert(1), alert(2, kind="tick_failed"))
    tried = "select 1 from alert_deliveries where channel = 'email' and attempts > 1"
    with dispatching(routes()):
        until(lambda: len(rows(tried)) == 2)
        with mail(server):
            until(lambda: not rows(OPEN))
    assert sorted(each["Subject"] for each in server.taken) == [
        f"[error] a{n} failed: because" for n in (1, 2)
    ]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_for_the_whole_channel(
    slack: Web, routes: Any, rows: Rows, form: str
) -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    header = "2" if form == "seconds" else format_datetime(moment, usegmt=True)
    slack.answers = [(429, {"Retry-After": header})]
    put(alert(1), alert(2))
    settings = routes(FAST.replace("longest_pause_seconds: 0.05", "longest_pause_seconds: 60"))
    began = time.monotonic()
    delivered(settings, rows)
    assert time.monotonic() - began >= 1.9 - (form == "date")
    assert len(slack.requests) == 3


def test_after_so_many_tries_the_fallback_is_told_as_well(
    slack: Web, configure: Any, routes: Any, rows: Rows
) -> None:
    slack.rule = lambda _: (404, {})
    with mail() as server:
        configure(
            smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", email_to="a@example.org"
        )
        settings = routes(
            FAST.replace("slack, email", "slack") + "fallback: [email]\nfallback_after: {error: 3}\n"
        )
        put(alert(1), alert(2, severity="warning"))
        with dispatching(settings):
            until(lambda: server.taken)
            until(lambda: len(slack.requests) > 12)
    assert [each["Subject"] for each in server.taken] == ["[error] a1 failed: because"]


def test_many_alerts_of_one_kind_are_one_message_and_few_are_single_ones(
    slack: Web, routes: Any, rows: Rows
) -> None:
    put(*(alert(n) for n in range(40)), alert(100, kind="tick_failed"), alert(101, kind="tick_failed"))
    delivered(routes(), rows)
    texts = [each["text"] for each in slack.taken]
    assert sorted(texts) == ["40 alerts: runs failed", "a100 failed: because", "a101 failed: because"]
    digest = next(each for each in slack.taken if "40" in each["text"])
    assert "… and 30 more" in str(digest)


def test_no_more_messages_go_out_than_a_channel_may_be_sent(slack: Web, routes: Any, rows: Rows) -> None:
    slow = FAST.replace("6000", "1").replace("at_once: 100", "at_once: 2")
    put(*(alert(n) for n in range(3)))
    with dispatching(routes(slow)):
        until(lambda: rows(TAKEN.format("slack")))
        put(*(alert(n) for n in range(10, 30)))
        until(lambda: len(rows(TAKEN.format("log"))) == 23)
    assert len(slack.taken) == 2


def test_what_is_open_is_told_once_and_its_end_to_those_who_were_told(
    slack: Web, routes: Any, rows: Rows
) -> None:
    for n in range(3):
        put(alert(n, dedup_key="same", source=f"event:{n}"))
        delivered(routes(), rows)
    end()
    delivered(routes(), rows)
    assert [each["text"] for each in slack.taken] == ["a0 failed: because", "Resolved: a0 failed"]


def test_channels_that_are_not_set_up_are_left_out_and_the_log_never(
    home: object, routes: Any, rows: Rows
) -> None:
    put(alert(1))
    delivered(routes(), rows)
    assert [row["channel"] for row in rows("select channel from alert_deliveries")] == ["log"]


def test_an_error_whose_channels_are_not_set_up_goes_to_the_fallback(
    slack: Web, routes: Any, rows: Rows
) -> None:
    put(alert(1), alert(2, severity="warning"))
    delivered(routes(FAST.replace("[slack, email,", "[email,") + "fallback: [email, slack]\n"), rows)
    assert [each["text"] for each in slack.taken] == ["a1 failed: because"]


def test_what_was_being_sent_when_a_dispatcher_died_is_sent_again_and_says_so(
    slack: Web, routes: Any, rows: Rows
) -> None:
    from millpond.alerts import deliveries

    put(alert(1))
    with dispatching(routes("routes: []")):
        until(lambda: not rows("select 1 from alerts where routed_at is null"))
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel) select id, 'tell', 'slack' from alerts"
        )
        claimed = deliveries.claim(connection, "slack", incidents=False, group_from=4)
    assert claimed is not None
    delivered(routes(), rows)
    (told,) = slack.taken
    assert told["blocks"][0]["block_id"] == claimed.id
    assert "may be a duplicate" in str(told)


def test_a_wrong_alerts_file_is_reported_and_holds_nothing_back(slack: Web, routes: Any, rows: Rows) -> None:
    settings = routes("routes: [{to: [slak]}]")
    said: list[str] = []
    put(alert(1))
    dispatcher = Dispatcher(settings, said.append)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    until(lambda: slack.taken)
    until(lambda: said)
    dispatcher.stop()
    thread.join()
    assert "slak is not a channel" in said[-1]


def test_a_storm_reaches_everybody_once_and_fills_no_screen(configure: Any, routes: Any, rows: Rows) -> None:
    """500 failures; each channel fails half of its requests and is restarted once."""
    services = {
        name: Web(rule=lambda n: (500, {}) if n % 2 else (202, {})) for name in ("slack", "pd", "hook")
    }
    post = Mail(rule=lambda n: 451 if n % 2 else 250)
    with web(services["slack"]), web(services["pd"]), web(services["hook"]), mail(post):
        configure(
            slack_webhook=services["slack"].url,
            pagerduty_key="k" * 32,
            pagerduty_url=services["pd"].url,
            webhook_url=services["hook"].url,
            smtp_host="127.0.0.1",
            smtp_port=post.port,
            smtp_security="none",
            email_to="a@example.org",
        )
        settings = routes()
    with dispatching(settings):  # nobody listens yet
        for n in range(0, 500, 50):
            put(*(alert(k) for k in range(n, n + 50)))
            if n == 100:
                until(lambda: rows("select 1 from alert_deliveries where last_error <> ''"))
                up = [web(each) for each in services.values()] + [mail(post)]
                for each in up:
                    each.__enter__()
        until(lambda: all(each.taken for each in [*services.values(), post]))
        for each in up:
            each.__exit__(None, None, None)
        put(*(alert(k) for k in range(500, 520)))
        up = [web(each) for each in services.values()] + [mail(post)]
        for each in up:
            each.__enter__()
        until(lambda: not rows("select 1 from alerts where routed_at is null") and not rows(OPEN))
        for each in up:
            each.__exit__(None, None, None)
    told = rows(
        "select channel, count(*) as n, count(distinct message) as m from alert_deliveries"
        " where state = 'delivered' group by channel"
    )
    assert {row["channel"]: row["n"] for row in told} == dict.fromkeys(
        ("log", "slack", "email", "pagerduty", "webhook"), 520
    )
    shown = {
        "slack": [each["blocks"][0]["block_id"] for each in services["slack"].taken],
        "pagerduty": [each["dedup_key"] for each in services["pd"].taken],
        "webhook": [each["message"] for each in services["hook"].taken],
        "email": [each["Message-ID"] for each in post.taken],
    }
    messages = {row["channel"]: row["m"] for row in told}
    assert {name: len(ids) for name, ids in shown.items()} == {name: messages[name] for name in shown}
    assert {name: len(set(ids)) for name, ids in shown.items()} == {name: messages[name] for name in shown}
    assert max(len(ids) for ids in shown.values()) <= 20
    assert sum(each["count"] for each in services["hook"].taken) == 520
