"""Whatever failed, each channel's message holds the cause, what is unharmed and the next step, and fits."""

from __future__ import annotations

from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import settings as limits
from hypothesis import strategies as st

from millpond.alerts.alert import Alert, compose, count_units, cut
from millpond.alerts.channels.email import EmailChannel
from millpond.alerts.channels.pagerduty import build_event
from millpond.alerts.channels.slack import build_blocks
from millpond.alerts.channels.webhook import build_document
from millpond.alerts.kinds import KINDS
from millpond.alerts.message import Message
from millpond.redaction import register

CAUSE, UNHARMED, NEXT = "ROOTCAUSE", "UNHARMEDPART", "NEXTSTEP"
SECRET = "hunter22hunter22"
PARTS = st.one_of(
    st.text(max_size=400),
    st.sampled_from(["&<>```", "😀" * 300, "\n" * 50, "x" * 5000, f"?token={SECRET}&", "‮עברית", "\x00"]),
)
TEXTS = st.lists(PARTS, max_size=8).map("".join)


def message(cause: str, unharmed: str, next_step: str, title: str = "silver failed") -> Message:
    alert = Alert(
        "run_failed",
        "event:1",
        "run:1",
        title,
        f"{CAUSE} {cause}",
        f"{UNHARMED} {unharmed}",
        f"{NEXT} {next_step}",
        assets=("silver",),
        run_url="https://dagster.example.org/runs/1",
        id=7,
    )
    return Message("id", "tell", (alert,), "millpond-7")


def of_slack(found: Message) -> str:
    told = build_blocks(found)
    assert count_units(told["text"]) <= 3000
    for block in told["blocks"]:
        if block["type"] == "header":
            assert 0 < count_units(block["text"]["text"]) <= 150
        for text in [block.get("text"), *block.get("fields", ())]:
            assert text is None or count_units(text["text"]) <= (2000 if "fields" in block else 3000)
    return "\n".join(block["text"]["text"] for block in told["blocks"] if "text" in block)


def of_email(found: Message) -> str:
    mail = EmailChannel("h", 25, "none", "a@b.org", ("c@d.org",))._build_mail(found)
    parsed = BytesParser(policy=policy.default).parsebytes(mail.as_bytes())
    assert len(parsed["Subject"]) <= 200
    assert CAUSE in parsed["Subject"]
    html: Any = parsed.get_body(("html",))
    assert all(part in html.get_content() for part in (CAUSE, UNHARMED, NEXT))
    text: Any = parsed.get_body(("plain",))
    return str(text.get_content())


def of_pagerduty(found: Message) -> str:
    summary: str = build_event(found)["payload"]["summary"]
    assert count_units(summary) <= 1024
    return summary


def of_webhook(found: Message) -> str:
    told = build_document(found)
    return f"{told['text']} {told['unharmed']} {told['next_step']}"


def of_plain(found: Message) -> str:
    assert count_units(found.body(500)) <= 500
    assert all(part in found.body(500) for part in (CAUSE, UNHARMED, NEXT))
    assert count_units(found.plain) <= 4000
    return found.plain


@seed(20261127)
@limits(max_examples=50, deadline=None)
@given(cause=TEXTS, unharmed=TEXTS, next_step=TEXTS, title=TEXTS.map(lambda text: f"silver {text}"))
def test_each_channel_gets_cause_unharmed_and_next_step_within_its_limits(
    cause: str, unharmed: str, next_step: str, title: str
) -> None:
    register(SECRET)
    found = message(cause, unharmed, next_step, title)
    for channel in (of_slack, of_email, of_pagerduty, of_webhook, of_plain):
        shown = channel(found)
        assert all(part in shown for part in (CAUSE, UNHARMED, NEXT))
        assert shown.index(CAUSE) < shown.index(UNHARMED) < shown.index(NEXT)
        assert SECRET not in shown


@seed(20261127)
@limits(max_examples=50, deadline=None)
@given(text=TEXTS, limit=st.integers(0, 3000))
def test_what_is_cut_keeps_its_beginning_and_its_end(text: str, limit: int) -> None:
    shown = cut(text, limit)
    assert count_units(shown) <= limit
    if count_units(text) <= limit:
        assert shown == text


def test_the_middle_of_a_long_cause_is_left_out() -> None:
    shown = compose("first " + "x" * 5000 + " last", "the marts", "run again", 300)
    assert shown.startswith("first xxx")
    assert " … x" in shown
    assert shown.endswith("x last\nUnharmed: the marts\nNext: run again")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_says_what_is_unharmed_and_what_to_do(kind: str) -> None:
    found = Alert(kind, "s", "k", "t", partition="2026-10-01", assets=("silver",))
    assert found.unharmed
    assert found.next_step
    assert "{" not in found.next_step
