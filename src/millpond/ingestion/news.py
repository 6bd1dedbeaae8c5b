"""Whether a source has something new: its newest rows, compared with those of the last look."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond.ingestion.guard import Guard
from millpond.ingestion.reader import PROBE_SECONDS
from millpond.ingestion.rest.pages import PAYLOAD, TIME
from millpond.ingestion.rest.placeholders import fill
from millpond.ingestion.rest.probe import probe
from millpond.ingestion.rest.reader import RestReader
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window, today
from millpond.settings import settings


@dataclass(frozen=True)
class Asked:
    """What one request was answered last time: its ETag, if there was one, and a digest of each row."""

    etag: str | None
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """All that was seen at the last look, and how many looks found something new; None before the first."""

    requests: dict[str, Asked] = field(default_factory=dict)
    finds: int = 0

    @classmethod
    def of_text(cls, text: str | None) -> Seen | None:
        """Return what `text`, made by `text`, says; None where it says nothing that can be read."""
        try:
            found = json.loads(text or "")
            asked = {key: Asked(each["etag"], tuple(each["rows"])) for key, each in found["requests"].items()}
            return cls(asked, int(found["finds"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def text(self) -> str:
        """The same, to be kept."""
        requests = {key: {"etag": asked.etag, "rows": asked.rows} for key, asked in self.requests.items()}
        return json.dumps({"finds": self.finds, "requests": requests}, sort_keys=True)

    @property
    def digest(self) -> str:
        """What tells it from everything else that was ever seen of this table."""
        rows = sorted(row for asked in self.requests.values() for row in asked.rows)
        return f"{self.finds}-{_digest(' '.join(rows))}"


def look_for_news(source: SourceSpec, table: SourceTable, before: Seen | None) -> tuple[set[dt.date], Seen]:
    """Return the days of which the source lists rows that were not there at the last look, and what is there.

    The first look finds nothing, as it has nothing to compare with. Raises a SourceError where the source
    does not answer as it should, BreakerOpen (which is one) where it is not to be asked.
    """
    assert table.news
    configured = settings()
    reader = RestReader.of(source, table, configured)
    values = reader.values
    Guard(reader).admit()
    extra = fill(table.news.params, values)
    if table.page:
        extra[table.page.param] = table.news.rows
    limits, zone = reader.limits.of_one_try(PROBE_SECONDS), configured.zone
    asked, news = {}, set()
    for key, window in _requests(table, today(zone)):
        known = (before or Seen()).requests.get(key, Asked(None, ()))
        start, end = (int(moment.timestamp()) * 1_000_000 for moment in window.bounds(zone))
        answer = probe(source, table, values, limits, (start, end), zone, extra=extra, etag=known.etag)
        if answer.rows is not None:
            days = _days(answer.rows, start, end, zone)
            news |= {day for row, day in days.items() if row not in known.rows}
            known = Asked(answer.etag, tuple(days))
        asked[key] = known
    if before is None:
        return set(), Seen(asked)
    return news, Seen(asked, before.finds + bool(news))


def _requests(table: SourceTable, last: dt.date) -> list[tuple[str, Window]]:
    """Return what is asked for: each day by itself, or the one listing where the source knows no dates."""
    assert table.news
    window = Window.of_days(last - dt.timedelta(days=table.news.days - 1), last)
    if table.window.reach:
        return [("listing", window)]
    return [(str(day), Window.of_day(day)) for day in window.days]


def _days(rows: pa.Table, start: int, end: int, zone: ZoneInfo) -> dict[str, dt.date]:
    """Return the day of each row from `start` to `end` (microseconds), by the row's digest."""
    found = {}
    for payload, moment in zip(rows[PAYLOAD].to_pylist(), rows[TIME].to_pylist(), strict=True):
        if moment is not None and start <= moment < end:
            found[_digest(payload.strip())] = dt.datetime.fromtimestamp(moment // 1_000_000, zone).date()
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
