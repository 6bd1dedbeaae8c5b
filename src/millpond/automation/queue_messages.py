"""The SQS client of the queue of load requests, and the content of its messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from millpond import redaction
from millpond.errors import ConfigError, QueueUnreachable
from millpond.ingestion.spec import SourceSpec
from millpond.partitions import Window, check_window, today
from millpond.settings import Settings

T = TypeVar("T")

VISIBILITY_SECONDS: Final = 120
"""How long a received message stays invisible to other receivers before it is delivered again."""
_AT_ONCE: Final = 10
_REASON_LIMIT: Final = 1000


@dataclass(frozen=True)
class Received:
    """A received message: `handle` identifies this receipt, `tries` counts receipts."""

    id: str
    handle: str
    body: str
    tries: int


class Queue:
    """The two queues that the settings name. Every method raises QueueUnreachable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = {
            name: key.get_secret_value() if key else None
            for name, key in (
                ("aws_access_key_id", settings.queue_access_key),
                ("aws_secret_access_key", settings.queue_secret_key),
            )
        }
        for key in self._keys.values():
            redaction.register(key)

    def receive(self) -> list[Received]:
        """Return up to ten messages, which then stay invisible for VISIBILITY_SECONDS."""
        answer = self._call(
            lambda sqs: sqs.receive_message(
                QueueUrl=self._settings.queue_url,
                MaxNumberOfMessages=_AT_ONCE,
                VisibilityTimeout=VISIBILITY_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        )
        return [
            Received(
                each["MessageId"],
                each["ReceiptHandle"],
                each["Body"],
                int(each["Attributes"]["ApproximateReceiveCount"]),
            )
            for each in answer.get("Messages", [])
        ]

    def delete(self, handle: str) -> None:
        """Delete a message from the queue."""
        self._call(lambda sqs: sqs.delete_message(QueueUrl=self._settings.queue_url, ReceiptHandle=handle))

    def reject(self, message: Received, reason: str) -> None:
        """Move a message to the dead-letter queue, with the reason; a crash leaves it in both."""
        text = redaction.redacted(reason)[:_REASON_LIMIT]
        attributes = {"reason": text, "message_id": message.id, "tries": str(message.tries)}
        self._call(
            lambda sqs: sqs.send_message(
                QueueUrl=self._settings.queue_dead_letter_url,
                MessageBody=message.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        )
        self.delete(message.handle)

    @cached_property
    def _sqs(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError(
                "MILLPOND_QUEUE_URL is set, but boto3 is not installed",
                next_step='run `pip install "millpond[sqs]"`, or unset MILLPOND_QUEUE_URL',
            ) from None
        return boto3.client(
            "sqs",
            region_name=self._settings.queue_region,
            endpoint_url=self._settings.queue_endpoint,
            config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2}),
            **self._keys,
        )

    def _call(self, call: Callable[[Any], T]) -> T:
        sqs = self._sqs
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(sqs)
        except (BotoCoreError, ClientError) as error:
            raise QueueUnreachable(
                f"the queue {self._settings.queue_url} cannot be used: {redaction.redacted(str(error))}",
                unharmed="its messages, which are received again later",
                next_step="check that it is up, and MILLPOND_QUEUE_URL, …_ENDPOINT and the keys",
            ) from None


class Message(BaseModel):
    """A request to load all days of a source, or those that may have changed recently.

    `partitions` is a day or a range `A...B`; messages with the same `id` start one run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["full_refresh", "incremental"]
    source: str
    partitions: str | None = None
    id: str | None = Field(None, min_length=1, max_length=200)


def read_message(body: str) -> Message:
    """Return the message in `body`, a JSON object; raises ConfigError if it is invalid."""
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"the message is invalid: {place and f'{place}: '}{problem['msg']}",
            next_step='send for example {"type": "incremental", "source": "nightscout"}',
        ) from None


def resolve_message(
    message: Message, sources: Sequence[SourceSpec], settings: Settings
) -> tuple[list[str], Window]:
    """Return the assets and the days that `message` requests.

    Without `partitions`, a full refresh covers every day that the source still serves, an incremental load
    the days that the cadences of its tables reload. Raises ConfigError or PartitionKeyError.
    """
    source = next((each for each in sources if each.source == message.source), None)
    if source is None:
        names = ", ".join(each.source for each in sources)
        raise ConfigError(f"there is no source {message.source!r}", next_step=f"use one of: {names}")
    assets = [table.asset for table in source.tables]
    if message.partitions is not None:
        return assets, check_window(Window.parse(message.partitions), settings.start_date, settings.zone)
    last = today(settings.zone)
    if message.type == "full_refresh":
        reaches = [table.window.reach for table in source.tables]
        back = max((reach.days - 1 for reach in reaches if reach), default=0) if all(reaches) else None
        first = settings.start_date if back is None else last - dt.timedelta(days=back)
    else:
        cadences = [table.cadence for table in source.tables]
        first = last - dt.timedelta(days=max(each.lookback_days if each else 1 for each in cadences))
    return assets, Window.of_days(max(first, settings.start_date), last)
