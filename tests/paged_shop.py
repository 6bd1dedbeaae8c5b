"""A shop whose orders a test server lists in one of the ways in which sources are paged."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from fake_source import Answer, Request, rows_as_json

NOW = dt.datetime(2026, 11, 28)
HOURS = 3
ORDERS: list[dict[str, Any]] = [
    {
        "id": n,
        "ordered_at": f"{NOW - dt.timedelta(hours=HOURS * n + 1):%Y-%m-%dT%H:%M:%SZ}",
        "amount": n * 1.5,
        "customer": {"id": n % 5},
        "note": None if n % 3 else "gift",
    }
    for n in range(250)
]
"""Newest first, eight a day."""
TOKEN = "t0ken"
MOST, USUAL = 100, 20


class PagedShop:
    """Serves `ORDERS`; `filters` says whether `from` and `until` do, `secret` that a token is needed."""

    def __init__(self, paging: str, *, filters: bool = True, secret: bool = False) -> None:
        self.paging, self.filters, self.secret = paging, filters, secret

    def __call__(self, request: Request) -> Answer:
        if self.secret and request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(b"who are you", 401)
        query, rows = request.query, ORDERS
        if self.filters:
            low, high = query.get("from", ""), query.get("until", "9")
            rows = [row for row in rows if low <= row["ordered_at"].replace("Z", ".000Z") < high]
        size = min(int(query.get("limit", USUAL)), MOST)
        if self.paging == "single_page":
            return rows_as_json(rows)
        here = f"http://{request.headers['host']}{request.path}"
        return getattr(self, f"_{self.paging}")(rows, size, query, here)  # type: ignore[no-any-return]

    def _page_number(self, rows: Sequence[Any], size: int, query: dict[str, str], _: str) -> Answer:
        first = (int(query.get("page", 1)) - 1) * size
        return _json({"data": {"orders": rows[first : first + size]}, "meta": {"total": len(rows)}})

    def _offset(self, rows: Sequence[Any], size: int, query: dict[str, str], _: str) -> Answer:
        first = int(query.get("offset", 0))
        return _json({"total": len(rows), "items": rows[first : first + size]})

    def _cursor(self, rows: Sequence[Any], size: int, query: dict[str, str], _: str) -> Answer:
        first = int(query.get("cursor", 0))
        after = str(first + size) if first + size < len(rows) else None
        return _json({"results": rows[first : first + size], "next_cursor": after})

    def _json_link(self, rows: Sequence[Any], size: int, query: dict[str, str], here: str) -> Answer:
        first = int(query.get("offset", 0))
        after = f"{here}?{urlencode(query | {'offset': first + size})}" if first + size < len(rows) else None
        return _json({"results": rows[first : first + size], "next": after})

    def _header_link(self, rows: Sequence[Any], size: int, query: dict[str, str], here: str) -> Answer:
        page = int(query.get("page", 1))
        answer = rows_as_json(list(rows[(page - 1) * size : page * size]))
        if page * size < len(rows):
            answer.headers["Link"] = f'<{here}?{urlencode(query | {"page": page + 1})}>; rel="next"'
        return answer


def _json(content: Any) -> Answer:
    return Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json"})
