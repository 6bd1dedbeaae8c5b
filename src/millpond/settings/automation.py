"""The settings of schedules and sensors, and of the queue of load requests."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator


class AutomationSettings(BaseModel):
    """Part of `Settings`: automatic loads, and the heartbeat."""

    automation: bool = Field(
        True, description="whether data is loaded by itself while `millpond up` runs: true or false"
    )
    daily_at: str = Field(
        "06:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="when yesterday is completed each day, HH:MM in the configured zone, for example 06:00",
    )
    heartbeat_url: SecretStr | None = Field(
        None,
        description="requested while nothing is wrong, for example https://hc-ping.com/…; never logged",
    )
    heartbeat_seconds: float = Field(
        60, ge=1, le=86400, description="how often that address is asked, for example 60"
    )

    @field_validator("heartbeat_url")
    @classmethod
    def _heartbeat_is_an_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must start with https://, for example https://hc-ping.com/…")
        return url


class QueueSettings(BaseModel):
    """Part of `Settings`: where the queue is (SQS, or what speaks its protocol), and its credential."""

    queue_url: str | None = Field(
        None,
        description="queue whose messages start loads, for example https://sqs.eu-west-1.amazonaws.com/1/loads",
    )
    queue_dead_letter_url: str | None = Field(
        None, description="queue that gets the messages which cannot be carried out; needed with a queue"
    )
    queue_region: str = Field("us-east-1", description="region of the queue, for example eu-central-1")
    queue_endpoint: str | None = Field(
        None,
        description="address of a server that speaks SQS, for example http://127.0.0.1:9324; default: AWS",
    )
    queue_access_key: SecretStr | None = Field(
        None,
        description="access key; default: what boto3 finds, such as an instance's role; never logged",
    )
    queue_secret_key: SecretStr | None = Field(None, description="its secret; never logged")
    queue_tries: int = Field(
        3, gt=0, le=1000, description="how often a message is tried before it is rejected, for example 3"
    )

    @field_validator("queue_url", "queue_dead_letter_url", "queue_endpoint")
    @classmethod
    def _is_a_queues_address(cls, url: str | None) -> str | None:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/") if url else url

    @model_validator(mode="after")
    def _dead_letters_have_a_queue(self) -> QueueSettings:
        if self.queue_url and self.queue_dead_letter_url in {None, self.queue_url}:
            raise ValueError(
                "MILLPOND_QUEUE_URL needs another queue beside it, for messages that cannot be carried out; "
                "set MILLPOND_QUEUE_DEAD_LETTER_URL, for example …/loads-dead"
            )
        return self
