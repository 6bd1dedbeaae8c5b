"""The queue of requests, over SQS's protocol; boto3 is imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from millpond import redaction
from millpond.errors import ConfigError, QueueUnreachable
from millpond.settings import Settings

T = TypeVar("T")

VISIBILITY_SECONDS: Final = 120
"""For so long a message that was received is shown to nobody else; then it comes again."""
_AT_ONCE: Final = 10
_REASON_LIMIT: Final = 1000


@dataclass(frozen=True)
class Received:
    """A message as it was received: `handle` stands for this receipt, `tries` counts them."""

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
        """Return up to ten messages, which then stay hidden for VISIBILITY_SECONDS."""
        answer = self._asked(
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

    def done(self, handle: str) -> None:
        """Have the queue forget a message."""
        self._asked(lambda sqs: sqs.delete_message(QueueUrl=self._settings.queue_url, ReceiptHandle=handle))

    def reject(self, message: Received, reason: str) -> None:
        """Move a message to the dead letters, with the reason; killed in between, it is there twice."""
        text = redaction.redacted(reason)[:_REASON_LIMIT]
        told = {"reason": text, "message_id": message.id, "tries": str(message.tries)}
        self._asked(
            lambda sqs: sqs.send_message(
                QueueUrl=self._settings.queue_dead_letter_url,
                MessageBody=message.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in told.items()
                },
            )
        )
        self.done(message.handle)

    @cached_property
    def _sqs(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigError(
                "MILLPOND_QUEUE_URL is set, and boto3 is not installed",
                next_step='run `pip install "millpond[sqs]"`, or unset MILLPOND_QUEUE_URL',
            ) from None
        return boto3.client(
            "sqs",
            region_name=self._settings.queue_region,
            endpoint_url=self._settings.queue_endpoint,
            config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2}),
            **self._keys,
        )

    def _asked(self, call: Callable[[Any], T]) -> T:
        sqs = self._sqs
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(sqs)
        except (BotoCoreError, ClientError) as error:
            raise QueueUnreachable(
                f"the queue {self._settings.queue_url} cannot be used: {redaction.redacted(str(error))}",
                unharmed="its messages: they stay there, or come again",
                next_step="see whether it is up, and check MILLPOND_QUEUE_URL, …_ENDPOINT and the keys",
            ) from None
