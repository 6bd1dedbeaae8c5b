"""Failed runs reach people: what Slack is sent, what happens while it is down, that no secret leaks."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from millpond.alerts.sensors import build_sensors
from millpond.backfill.run import JOB, materialize
from millpond.partitions import Window
from millpond.resources.instance import instance
from millpond.runtime.home import Home
from millpond.settings import Settings

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
WEEK = Window.of_days(dt.date(2026, 10, 1), dt.date(2026, 10, 7))
SECRET = "T0CANARY/B0/verysecret"


@dataclass
class Receiver:
    """Slack's end of a webhook: keeps what it is sent, answers what it is told to."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    posts: int = 0


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.posts += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 200:
                receiver.received.append(body)
            answer = b"ok" if status == 200 else f"no {self.path}".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/services/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), owners=["team:health"])
def broken() -> None:
    raise RuntimeError(f"<!channel> no ?token=hunter22hunter22 for https://hooks.slack.com/services/{SECRET}")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def fine() -> None:
    """Succeed."""


@dg.asset_check(asset=fine, blocking=True)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


def definitions(
    *assets: dg.AssetsDefinition, checks: tuple[dg.AssetChecksDefinition, ...] = ()
) -> dg.Definitions:
    return dg.Definitions(assets=assets, asset_checks=checks, jobs=[dg.define_asset_job(JOB)])


class Ticks:
    """The daemon's part: calls the sensor with the cursor that its last call left."""

    def __init__(self, recorded: dg.DagsterInstance) -> None:
        (self._sensor,) = build_sensors([broken, fine])
        self._recorded, self._cursor = recorded, None
        self()

    def __call__(self) -> Any:
        with dg.build_sensor_context(self._recorded, self._cursor, definitions=dg.Definitions()) as context:
            data = self._sensor.evaluate_tick(context)
        self._cursor = data.cursor
        return data


@pytest.fixture
def recorded(home: Home) -> Iterator[dg.DagsterInstance]:
    with instance() as found:
        yield found


@pytest.fixture
def slack(configure: Callable[..., Settings]) -> Iterator[Receiver]:
    with receiving() as receiver:
        configure(slack_webhook=receiver.url, dagster_port=3123)
        yield receiver


def test_a_failed_run_is_told_with_asset_partition_error_owner_and_link(
    recorded: dg.DagsterInstance, slack: Receiver
) -> None:
    tick = Ticks(recorded)
    outcome = materialize("*", WEEK, definitions=definitions(broken, fine), instance=recorded)
    tick()
    (told,) = slack.received
    assert told["text"] == "broken failed for 2026-10-01...2026-10-07"
    header, facts, error, actions = told["blocks"]
    assert header["text"]["text"] == told["text"]
    assert [fact["text"] for fact in facts["fields"]] == [
        "*Asset*\nbroken",
        "*Partition*\n2026-10-01...2026-10-07",
        "*Owner*\nteam:health",
        "*Ref*\nmain",
    ]
    assert "RuntimeError: &lt;!channel&gt; no ?token=" in error["text"]["text"]
    (button,) = actions["elements"]
    assert button["url"] == f"http://127.0.0.1:3123/runs/{outcome.run_id}"
    assert button["text"]["text"] == "View run"


def test_each_failed_run_is_told_once_and_successes_never(
    recorded: dg.DagsterInstance, slack: Receiver
) -> None:
    tick = Ticks(recorded)
    materialize("fine", WEEK, definitions=definitions(fine), instance=recorded)
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    for _ in range(3):
        tick()
    assert len(slack.received) == 1


def test_a_blocking_check_that_failed_is_named(recorded: dg.DagsterInstance, slack: Receiver) -> None:
    tick = Ticks(recorded)
    materialize("*", WEEK, definitions=definitions(fine, checks=(sound,)), instance=recorded)
    tick()
    (told,) = slack.received
    assert told["text"].startswith("fine failed for")
    assert {"type": "mrkdwn", "text": "*Check*\nsound"} in told["blocks"][1]["fields"]


def test_no_secret_is_told_or_logged(
    recorded: dg.DagsterInstance, slack: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    tick = Ticks(recorded)
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    slack.answers = [500, 500, 500]
    tick()
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    slack.answers = [404]
    tick()
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    tick()
    (told,) = slack.received
    everything = json.dumps(told) + capsys.readouterr().err
    assert "verysecret" not in everything
    assert "hunter22" not in everything


@pytest.mark.parametrize(
    ("answers", "posts", "sent"), [([500], 2, 1), ([500, 429, 503], 3, 0), ([404], 1, 0)]
)
def test_slack_is_tried_again_while_it_may_help_and_its_refusal_loses_no_tick(
    recorded: dg.DagsterInstance,
    slack: Receiver,
    capsys: pytest.CaptureFixture[str],
    answers: list[int],
    posts: int,
    sent: int,
) -> None:
    tick = Ticks(recorded)
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    slack.answers = list(answers)
    assert all(request.dagster_run and not request.error for request in tick().dagster_run_reactions)
    assert (slack.posts, len(slack.received)) == (posts, sent)
    log = capsys.readouterr().err
    assert "broken failed for 2026-10-01...2026-10-07" in log
    assert ("alert not sent: Slack" in log) == (not sent)


def test_without_a_webhook_the_log_is_told(
    recorded: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    tick = Ticks(recorded)
    outcome = materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    tick()
    log = capsys.readouterr().err
    assert "broken failed for 2026-10-01...2026-10-07" in log
    assert f"/runs/{outcome.run_id}" in log


def test_nobody_listening_is_an_alert_in_the_log_not_an_error(
    recorded: dg.DagsterInstance, configure: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as gone:
        configure(slack_webhook=gone.url)
    tick = Ticks(recorded)
    materialize("broken", WEEK, definitions=definitions(broken), instance=recorded)
    tick()
    log = capsys.readouterr().err
    assert "Slack did not take the alert" in log
    assert "verysecret" not in log
