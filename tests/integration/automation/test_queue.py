"""Messages of a queue become runs: each once, acknowledged when its run is recorded, poison set aside."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import RUN_KEY_TAG
from moto.server import ThreadedMotoServer

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.automation.queue_sensor import build_queue_sensors
from millpond.definitions import defs
from millpond.errors import ConfigError
from millpond.ingestion.reading import load_sources
from millpond.instance.home import open_instance
from millpond.settings import Settings, settings

RANGE = "2026-10-01...2026-10-07"
REQUEST = {"type": "full_refresh", "source": "greenhouse", "partitions": RANGE}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve the SQS protocol on a free loopback port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Line:
    """A queue with its dead letters as those who send to it see them, and the sensor that listens."""

    def __init__(self, endpoint: str, recorded: dg.DagsterInstance, name: str) -> None:
        import boto3

        self.sqs: Any = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name="eu-west-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )
        self.url, self.dead = (
            self.sqs.create_queue(QueueName=f"{name}{suffix}")["QueueUrl"] for suffix in ("", "-dead")
        )
        self.recorded, self.cursor = recorded, None
        self.launched: list[dg.RunRequest] = []

    def send(self, message: Any) -> str:
        body = message if isinstance(message, str) else json.dumps(message)
        sent: str = self.sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]
        return sent

    def tick(self, record: bool = True, keep: bool = True) -> dg.SensorResult:
        """Evaluate the sensor as the daemon does, which records a run for each request."""
        (sensor,) = build_queue_sensors(load_sources(settings()))
        context = dg.build_sensor_context(
            instance=self.recorded, cursor=self.cursor, repository_def=defs.get_repository_def()
        )
        result: Any = sensor(context)
        self.cursor = result.cursor if keep else self.cursor
        for request in (result.run_requests or ()) if record else ():
            self.launched.append(request)
            self.recorded.create_run_for_job(
                dg.job(name="launched")(lambda: None), tags={**request.tags, RUN_KEY_TAG: request.run_key}
            )
        return result

    def comes_again(self, cursor: str | None = None) -> None:
        """Let the time be over for which the messages under way are hidden."""
        for asked in json.loads(cursor or self.cursor or "[]"):
            self.sqs.change_message_visibility(
                QueueUrl=self.url, ReceiptHandle=asked["handle"], VisibilityTimeout=0
            )

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def dead_letters(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.dead, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return list(answer.get("Messages", []))


@pytest.fixture
def line(
    home: object, endpoint: str, configure: Callable[..., Settings], request: pytest.FixtureRequest
) -> Iterator[Line]:
    with open_instance() as recorded:
        found = Line(endpoint, recorded, f"q{abs(hash(request.node.name))}")
        configure(
            queue_url=found.url,
            queue_dead_letter_url=found.dead,
            queue_endpoint=endpoint,
            queue_region="eu-west-1",
            queue_access_key="k",
            queue_secret_key="a-secret-of-the-queue",
        )
        yield found


def test_a_message_becomes_one_run_of_its_source_and_all_that_is_made_from_it(line: Line) -> None:
    sent = line.send(REQUEST)
    (run,) = line.tick().run_requests or ()
    assert run.tags["dagster/asset_partition_range_start"] == "2026-10-01"
    assert run.tags["dagster/asset_partition_range_end"] == "2026-10-07"
    assert run.tags["millpond/queue_message"] == sent
    names = {key.to_user_string() for key in run.asset_selection or ()}
    assert {"dlt_climate_entries", "marts/mrt_climate_overview"} <= names
    assert "dlt_market_events" not in names


def test_an_incremental_load_takes_the_days_of_the_cadence_and_a_full_one_all(line: Line) -> None:
    line.send({"type": "incremental", "source": "greenhouse"})
    line.send({"type": "full_refresh", "source": "greenhouse"})
    line.tick()
    days = sorted(
        dg.PartitionKeyRange(
            run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]
        )
        for run in line.launched
    )
    assert days[0].start == str(settings().start_date)
    whole = defs.resolve_asset_graph().get(dg.AssetKey("dlt_climate_entries")).partitions_def
    assert whole
    (table,) = next(each for each in load_sources(settings()) if each.source == "greenhouse").tables
    assert table.cadence
    asked = whole.get_partition_keys_in_range(days[1])
    assert asked == whole.get_partition_keys()[-table.cadence.lookback_days - 1 :]


def test_a_message_is_taken_out_only_once_its_run_is_recorded(line: Line) -> None:
    line.send(REQUEST)
    line.tick(record=False)
    line.tick(record=False)
    assert line.left() == 1
    line.comes_again()
    line.tick()
    assert line.left() == 1
    line.tick()
    assert line.left() == 0
    assert len(line.launched) == 1


def test_a_tick_whose_cursor_was_lost_launches_nothing_twice(line: Line) -> None:
    line.send(REQUEST)
    lost = line.tick(keep=False)  # the daemon was killed after it recorded the run, before it kept the cursor
    line.tick()
    assert line.left() == 1
    line.comes_again(lost.cursor)
    assert "its run is already recorded" in str(line.tick().skip_reason)
    assert line.left() == 0
    assert len(line.launched) == 1


def test_a_message_that_comes_again_and_one_sent_twice_deliver_one_run(line: Line) -> None:
    line.send({**REQUEST, "id": "order-7"})
    line.send({**REQUEST, "id": "order-7"})
    line.tick()
    line.send({**REQUEST, "id": "order-7"})
    line.comes_again()
    line.tick()
    assert [run.run_key for run in line.launched] == ["queue:order-7"]
    assert line.left() == 0


POISON = [
    ("no json", "is invalid"),
    ("[]", "is invalid"),
    ({"type": "drop", "source": "greenhouse"}, "type: Input should be"),
    ({**REQUEST, "sql": "drop table"}, "sql: Extra inputs"),
    ({**REQUEST, "source": "nowhere"}, "there is no source 'nowhere'"),
    ({**REQUEST, "partitions": "2026-01-01' OR 1=1--"}, "is not a partition key"),
    ({**REQUEST, "partitions": "2999-01-01"}, "has not begun yet"),
]


def test_poison_goes_to_the_dead_letters_after_its_tries_with_the_reason_and_blocks_nothing(
    line: Line, configure: Callable[..., Settings]
) -> None:
    configure(queue_tries=1)
    ids = {line.send(body): reason for body, reason in POISON}
    line.send(REQUEST)
    line.tick()
    assert len(line.launched) == 1
    line.tick()
    assert line.left() == 0
    dead = line.dead_letters()
    assert len(dead) == len(POISON)
    for letter in dead:
        told = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        assert ids[told["message_id"]] in told["reason"]
        assert told["tries"] == "1"
    find_alerts(line.recorded, settings(), Routing(late_after_days=0), AssetFacts())
    with outbox() as connection:
        alerts = connection.execute("select kind, title from alerts").fetchall()
    assert {alert["kind"] for alert in alerts} == {"message_rejected"}
    assert len(alerts) == len(POISON)


def test_poison_is_tried_again_before_it_is_rejected(line: Line) -> None:
    line.send("no json")
    result = line.tick()
    assert "attempt 1: the message is invalid" in str(result.skip_reason)
    assert line.dead_letters() == []
    assert line.left() == 1


def test_a_queue_that_is_down_skips_the_tick_with_the_reason(
    line: Line, configure: Callable[..., Settings]
) -> None:
    configure(queue_endpoint="http://127.0.0.1:1")
    reason = str(line.tick().skip_reason)
    assert "cannot be used" in reason
    assert "a-secret-of-the-queue" not in reason


def test_without_a_queue_there_is_no_sensor_and_without_dead_letters_no_queue(
    configure: Callable[..., Settings],
) -> None:
    assert build_queue_sensors(load_sources(settings())) == []
    with pytest.raises(ConfigError, match="MILLPOND_QUEUE_DEAD_LETTER_URL"):
        configure(queue_url="http://127.0.0.1/q")
