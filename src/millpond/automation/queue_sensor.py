"""The sensor that executes queue messages, each exactly once."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import dagster as dg

from millpond import notices
from millpond.automation.queue_messages import (
    VISIBILITY_SECONDS,
    Queue,
    Received,
    read_message,
    resolve_message,
)
from millpond.automation.requests import (
    build_run_request,
    default_sensor_status,
    find_downstream,
    get_asset_graph,
)
from millpond.errors import MillpondError, QueueUnreachable
from millpond.ingestion.spec import SourceSpec
from millpond.internals.dagster import RUN_KEY_TAG
from millpond.resources.run import JOB
from millpond.runtime.databases import databases
from millpond.settings import Settings, settings

_SECONDS = 15
_ID_TAG = "millpond/queue_message"


@dataclass(frozen=True)
class _RequestedRun:
    """A message whose run was requested, and until when its receipt is valid."""

    handle: str
    key: str
    until: float


def build_queue_sensors(sources: Sequence[SourceSpec]) -> list[dg.SensorDefinition]:
    """Return the sensor, if the settings name a queue."""
    if settings().queue_url is None:
        return []

    @dg.sensor(
        job_name=JOB,
        minimum_interval_seconds=_SECONDS,
        default_status=default_sensor_status(),
        description="Starts the loads that messages in MILLPOND_QUEUE_URL request, and deletes each once its"
        " run is recorded. Messages that fail go to MILLPOND_QUEUE_DEAD_LETTER_URL.",
    )
    def queue(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = _Tick(context, sources, settings())
        return tick.result()

    return [queue]


class _Tick:
    """One tick of the sensor."""

    def __init__(
        self, context: dg.SensorEvaluationContext, sources: Sequence[SourceSpec], settings: Settings
    ) -> None:
        self._context, self._sources, self._settings = context, sources, settings
        self._queue = Queue(settings)
        self._requested = [_RequestedRun(**each) for each in json.loads(context.cursor or "[]")]
        self._requests: dict[str, dg.RunRequest] = {}
        self._log: list[str] = []

    def result(self) -> dg.SensorResult:
        """Delete messages whose run is recorded, then process new ones."""
        try:
            for requested in list(self._requested):
                if self._is_recorded(requested.key):
                    self._queue.delete(requested.handle)
                    self._requested.remove(requested)
            for message in self._queue.receive():
                self._take(message)
        except QueueUnreachable as error:
            self._log.append(str(error))
        cursor = json.dumps([asdict(each) for each in self._requested if each.until > time.time()])
        if self._requests:
            return dg.SensorResult(run_requests=list(self._requests.values()), cursor=cursor)
        return dg.SensorResult(skip_reason="\n".join(self._log) or "no message", cursor=cursor)

    def _take(self, message: Received) -> None:
        key = f"queue:{message.id}"
        try:
            read = read_message(message.body)
            key = f"queue:{read.id or message.id}"
            if self._is_recorded(key):
                self._queue.delete(message.handle)
                self._log.append(f"message {message.id} was received again; its run is already recorded")
                return
            assets, window = resolve_message(read, self._sources, self._settings)
        except QueueUnreachable:
            raise
        except MillpondError as error:
            self._refuse(message, str(error), last=message.tries >= self._settings.queue_tries)
            return
        if message.tries > self._settings.queue_tries:
            self._refuse(
                message, f"a run was requested {message.tries - 1} times but none was recorded", last=True
            )
            return
        keys = find_downstream(get_asset_graph(self._context), assets)
        self._requests[key] = build_run_request(keys, window, key, {_ID_TAG: message.id})
        self._requested.append(_RequestedRun(message.handle, key, time.time() + VISIBILITY_SECONDS))

    def _refuse(self, message: Received, reason: str, *, last: bool) -> None:
        """Reject a message at its last try; before that, it is received again."""
        self._log.append(f"message {message.id}, attempt {message.tries}: {reason}")
        if not last:
            return
        with databases().ops.connect() as connection:
            notices.tell(
                connection,
                "message_rejected",
                message.id,
                f"message {message.id} of the queue was rejected after {message.tries} attempts",
                f"{reason}\nIt is in {self._settings.queue_dead_letter_url}.",
                source=f"message:{message.id}",
            )
        self._queue.reject(message, reason)

    def _is_recorded(self, key: str) -> bool:
        return bool(self._context.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}), limit=1))
