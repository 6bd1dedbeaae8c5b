"""Servers that list rows in many ways, and a listing of theirs read by the client alone, without a lake."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from fake_source import Answer, Request
from millpond.errors import SourceError
from millpond.ingestion.rest.client import TableClient
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.rest.placeholders import connection
from millpond.ingestion.retry import Limits
from millpond.ingestion.spec import SourceSpec

START = int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp() * 1000)
HOUR = 3_600_000
ITEMS: dict[str, Any] = {"endpoint": {"data_selector": "items"}}
OFFSET: dict[str, Any] = {"type": "offset", "limit": 100}
PAGE: dict[str, Any] = {"page": {"param": "limit", "size": 100}}
NEWEST_FIRST: dict[str, Any] = {
    "endpoint": {"paginator": {"type": "newest_first"}, "data_selector": "items"},
    "page": {"param": "n", "size": 50},
}
LIMITS = Limits(timeout=20, budget=20, wait=1, body_bytes=1 << 24, attempts=1)


def row(number: int, moment: int) -> dict[str, Any]:
    return {"id": number, "at": moment}


def rows(count: int) -> list[dict[str, Any]]:
    """Return rows of one window, ten minutes apart, newest first."""
    return [row(n, START + n * HOUR // 6) for n in range(count)][::-1]


def answer(body: Any, **headers: str) -> Answer:
    return Answer(json.dumps(body).encode(), headers={k.replace("_", "-"): v for k, v in headers.items()})


def spec(paginator: dict[str, Any] | None = None, **table: Any) -> SourceSpec:
    """Return a source with one table; `endpoint` and the rest are added to what it declares."""
    endpoint = {"path": "rows", **table.pop("endpoint", {})}
    if paginator:
        endpoint["paginator"] = paginator
    declared = {
        "name": "things",
        "key": ["id"],
        "event_time": {"column": "at", "unit": "ms"},
        "columns": {"id": {"type": "int"}, "at": {"type": "int"}},
        "window": {"params": {"from": "{start_ms}", "to": "{end_ms}"}},
        "endpoint": endpoint,
        **table,
    }
    return SourceSpec.model_validate({"source": "shop", "rest": {"base_url": "{url}"}, "tables": [declared]})


def read(source: SourceSpec, url: str, days: int = 10, token: str | None = None) -> tuple[list[int], Listing]:
    """Return the ids of the rows listed for the `days` from START on; raises a SourceError."""
    client = TableClient(source, source.tables[0], connection(url, None, token), LIMITS)
    margin = source.tables[0].window.margin // dt.timedelta(microseconds=1)
    listing = Listing(START * 1000, (START + days * 24 * HOUR) * 1000, margin)
    found = [json.loads(text)["id"] for page in client.pages(listing) for text in page[PAYLOAD].to_pylist()]
    return found, listing


def failure(source: SourceSpec, url: str, **options: Any) -> SourceError:
    """Return why a listing failed."""
    with pytest.raises(SourceError) as caught:
        read(source, url, **options)
    assert caught.value.next_step
    return caught.value


def paged(listed: list[dict[str, Any]], request: Request, cap: int = 100) -> list[dict[str, Any]]:
    """Return the page that `offset` and `limit`, or `page` and `limit`, ask for; `cap` rows at most."""
    size = min(int(request.query.get("limit", 100)), cap)
    start = int(request.query.get("offset", int(request.query.get("page", 0)) * size))
    return listed[start : start + size]


def between(listed: list[dict[str, Any]], request: Request, cap: int) -> list[dict[str, Any]]:
    """Return the first `cap` rows of `listed` that lie in the requested time."""
    low, high = int(request.query["from"]), int(request.query["to"])
    return [each for each in listed if low <= each["at"] < high][:cap]
