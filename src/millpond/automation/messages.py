"""What a message of the queue may ask for, and what it comes to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from millpond.errors import ConfigError
from millpond.ingestion.spec import SourceSpec
from millpond.partitions import Window, checked_window, today
from millpond.settings import Settings


class Message(BaseModel):
    """A request for a load: of all days of a source, or of those that may have changed of late.

    `partitions` is a day or a range `A...B`; messages with one `id` come to one run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: Literal["full_refresh", "incremental"]
    source: str
    partitions: str | None = None
    id: str | None = Field(None, min_length=1, max_length=200)


def read_message(body: str) -> Message:
    """Return what `body`, a JSON object, asks for; raises ConfigError saying what is wrong with it."""
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"the message cannot be read: {place and f'{place}: '}{problem['msg']}",
            next_step='send for example {"type": "incremental", "source": "nightscout"}',
        ) from None


def wanted(message: Message, sources: Sequence[SourceSpec], settings: Settings) -> tuple[list[str], Window]:
    """Return the assets and the days that `message` asks for.

    Without `partitions`, a full refresh means every day that the source still serves, an incremental load the
    days that each table's cadence loads again. Raises ConfigError or PartitionKeyError.
    """
    source = next((each for each in sources if each.source == message.source), None)
    if source is None:
        names = ", ".join(each.source for each in sources)
        raise ConfigError(f"there is no source {message.source!r}", next_step=f"name one of: {names}")
    assets = [table.asset for table in source.tables]
    if message.partitions is not None:
        return assets, checked_window(message.partitions, settings.start_date, settings.zone)
    last = today(settings.zone)
    if message.type == "full_refresh":
        reaches = [table.window.reach for table in source.tables]
        back = max((reach.days - 1 for reach in reaches if reach), default=0) if all(reaches) else None
        first = settings.start_date if back is None else last - dt.timedelta(days=back)
    else:
        cadences = [table.cadence for table in source.tables]
        first = last - dt.timedelta(days=max(each.lookback_days if each else 1 for each in cadences))
    return assets, Window.of_days(max(first, settings.start_date), last)
