"""A dispatcher killed at any moment loses no alert, and whatever arrives twice is known by its id."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from alerting import FAST, OPEN, UNROUTED, alert, put
from millpond.alerts.__main__ import main
from millpond.alerts.outbox import outbox
from millpond.runtime.home import Home
from millpond.settings import Settings
from processes import start
from receivers import Mail, Web, mail, web
from waiting import until


@contextmanager
def dispatcher(*points: str) -> Iterator[BaseProcess]:
    process = start(main, crash_at=points)
    try:
        yield process
    finally:
        process.terminate()
        process.join(30)


def ask(statement: str) -> list[dict[str, Any]]:
    with outbox() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


class Ends:
    """The other end of every channel."""

    def __init__(self) -> None:
        self.slack, self.pagerduty, self.hook, self.post = Web(), Web(), Web(), Mail()

    @property
    def received(self) -> dict[str, list[tuple[str, bool]]]:
        """The ids of the messages of each channel, each with whether it says that it may be a repeat."""
        return {
            "slack": [(m["blocks"][0]["block_id"], "may be a duplicate" in str(m)) for m in self.slack.taken],
            "webhook": [(m["message"], m["repeat"]) for m in self.hook.taken],
            "email": [(m["Message-ID"], "may be a duplicate" in m.as_string()) for m in self.post.taken],
        }


@pytest.fixture
def ends(home: Home, configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Ends]:
    found = Ends()
    with web(found.slack), web(found.pagerduty), web(found.hook), mail(found.post):
        (tmp_path / "alerts.yaml").write_text(FAST)
        configure(
            alerts_file=tmp_path / "alerts.yaml",
            slack_webhook=found.slack.url,
            pagerduty_key="k" * 32,
            pagerduty_url=found.pagerduty.url,
            webhook_url=found.hook.url,
            smtp_host="127.0.0.1",
            smtp_port=found.post.port,
            smtp_security="none",
            email_to="a@example.org",
        )
        yield found


def finished() -> None:
    with dispatcher():
        until(lambda: not ask(UNROUTED) and not ask(OPEN))


def nothing_lost_or_doubled(ends: Ends, alerts: int) -> None:
    states = ask("select channel, state, count(*) as n from alert_deliveries group by 1, 2")
    assert {(row["channel"], row["state"]): row["n"] for row in states} == {
        (channel, "delivered"): alerts for channel in ("log", "slack", "email", "pagerduty", "webhook")
    }
    for channel, messages in ends.received.items():
        seen = Counter(identity for identity, _ in messages)
        sent = ask(f"select count(distinct message) as n from alert_deliveries where channel = '{channel}'")
        assert len(seen) == sent[0]["n"], channel
        # Only what was under way when it was killed came again, and it says so.
        assert sum(seen.values()) - len(seen) <= sum(repeat for _, repeat in messages), channel
    keys = ask("select distinct incident from alert_deliveries where channel = 'pagerduty'")
    assert {event["dedup_key"] for event in ends.pagerduty.taken} == {row["incident"] for row in keys}
    assert sum(event["count"] for event in {m["message"]: m for m in ends.hook.taken}.values()) == alerts


@pytest.mark.parametrize("point", ["alert claimed", "alert sent"])
def test_killed_between_claim_send_and_note_it_repeats_and_loses_nothing(ends: Ends, point: str) -> None:
    put(*(alert(n) for n in range(6)), alert(10, kind="tick_failed"))
    with dispatcher(point) as killed:
        killed.join(60)
        assert killed.exitcode == -signal.SIGKILL
    assert ask(OPEN)
    finished()
    nothing_lost_or_doubled(ends, 7)


def at_random_moments(ends: Ends, seeds: Sequence[int]) -> None:
    total = 0
    for seed in seeds:
        moment = random.Random(seed)
        fresh = [alert(total + n, kind=moment.choice(["run_failed", "tick_failed"])) for n in range(12)]
        total += len(fresh)
        with dispatcher() as killed:
            for each in fresh:
                put(each)
                time.sleep(moment.uniform(0, 0.05))
            until(lambda: not ask(UNROUTED) or killed.exitcode is not None)
            time.sleep(moment.uniform(0, 0.4))
            killed.kill()
            killed.join()
    finished()
    nothing_lost_or_doubled(ends, total)


def test_killed_at_any_moment_nothing_is_lost_and_what_comes_again_says_so(ends: Ends) -> None:
    at_random_moments(ends, range(2))


@pytest.mark.slow
def test_killed_twenty_times_nothing_is_lost(ends: Ends) -> None:
    at_random_moments(ends, range(20))
