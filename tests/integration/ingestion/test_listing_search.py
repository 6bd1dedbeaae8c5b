"""Whatever a server is like, no rows are lost while its listing is taken: a search over drawn servers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request, fake_source
from listings import HOUR, START, answer, row, spec
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.spec import SourceSpec
from searches import DAYS, search, seeds

SHOP = ["single_page", "header_link", "header_cursor", "json_link", "cursor", "offset", "page_number"]
FAULTS = [
    *[None] * 5,
    "shuffle",
    "filter",
    "loop",
    "stamp",
    "insert",
    "reverse",
    "odd",
    "typo",
    "twice",
    "again",
    "cycle",
    "refused",
]
TOTALS = [None, "rows", "page", "pages", "high", "low", "undeclared", "total_pages", "x-total-count", "left"]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeSource]:
    with fake_source() as source:
        yield source


class Drawn:
    """A server drawn at random, and the table that a person may declare for it."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.kind = draw.choice([*SHOP, "newest_first", "newest_first"])
        hours = [draw.uniform(-24, 24 * (DAYS + 1)) for _ in range(draw.choice([0, 1, 3, 12, 40, 90]))]
        self.rows = [row(n, START + int(h * HOUR)) for n, h in enumerate(sorted(hours, reverse=True))]
        self.asked = draw.choice([5, 10, 30])
        self.cap = draw.choice([3, 5, 7, 10, 30, 1000])
        self.total = draw.choice(TOTALS)
        self.as_text = draw.random() < 0.2
        self.more, self.skips = draw.random() < 0.3, draw.random() < 0.3
        self.marker = draw.choice(["next", "next_cursor", "nextPageToken", "nextLink"])
        self.overlap, self.fault = draw.choice([0, 0, 0, 1]), draw.choice(FAULTS)
        if self.fault == "reverse":
            for place in range(0, len(self.rows) - 1, 4):
                self.rows[place : place + 2] = self.rows[place : place + 2][::-1]
        elif self.fault == "odd" and self.rows:
            self.rows.insert(draw.randrange(len(self.rows)), row(9_998, draw.choice([0, START * 2])))
        elif self.fault == "twice" and self.rows:
            self.rows += draw.sample(self.rows, 1)
        elif self.fault == "again" and self.rows:
            place = draw.randrange(len(self.rows))
            self.rows.insert(place, self.rows[place])
        self.wanted = {r["id"] for r in self.rows if START <= r["at"] < START + DAYS * 24 * HOUR}
        self.steady = draw.random() < 0.5
        """Whether it counts pages by their size, not by the rows of the page at hand."""
        self.requests = 0

    @property
    def ordinary(self) -> bool:
        """Whether nothing is odd about the server, and the table declared for it fits it."""
        if self.fault not in {None, "refused", "stamp"} or self.overlap:
            return False
        if self.total not in {None, "rows", "undeclared", "x-total-count", "left"} and not (
            self.total in {"pages", "total_pages"} and self.steady
        ):
            return False
        if self.kind == "single_page":
            return len(self.rows) < min(self.asked, self.cap + 1)
        if self.kind == "header_cursor":  # one that is never seen needs a page size that shows the end
            return self.asked > 5 and len(self.wanted) != self.asked
        if self.kind == "header_link":  # a full page and no link ever
            return len(self.wanted) != self.asked
        return True

    def outcomes(self, found: set[int], _: Listing) -> Iterator[tuple[str, str]]:
        """Yield what became of the listing."""
        lost = f"{len(self.wanted - found)} of {len(self.wanted)}"
        yield "complete" if self.wanted <= found else "undecidable" if self.undecidable else "lost", lost

    @property
    def undecidable(self) -> bool:
        """Whether docs/completeness.md names this server among those whose cuts leave no sign."""
        misleading = self.total in {"pages", "low"}  # may be as large as the rows received, or say 1
        silent = self.total in {None, "page"} and not (self.more and self.kind in {"single_page"})
        if self.kind == "single_page":
            return silent or (misleading and self._looks_reached)
        if self.kind == "header_cursor" and self.fault == "typo":
            return silent or misleading
        return self.kind == "newest_first" and self.fault in {"filter", "shuffle"}

    @property
    def _looks_reached(self) -> bool:
        said = self.said
        return said is not None and (said <= 1 or said == self.first_rows)

    def spec(self) -> SourceSpec:
        """Return the table as a person declares it for this server."""
        enveloped = self.kind not in {"newest_first", "header_link", "header_cursor"}
        paginator: dict[str, Any] = {"type": self.kind}
        if self.kind == "offset":
            paginator["limit"] = self.asked
        if self.kind == "cursor":
            paginator["cursor_path"] = "no.such" if self.fault == "typo" else self.marker
        if self.kind == "json_link":
            paginator["next_url_path"] = "no.such" if self.fault == "typo" else self.marker
        if self.kind == "header_cursor":
            paginator["cursor_key"] = "X-No-Such" if self.fault == "typo" else "X-Next"
        if self.kind in {"offset", "page_number"} and self.total in {"rows", "page", "pages", "high", "low"}:
            paginator["total_path"] = "total"
        if self.kind in {"offset", "page_number", "cursor"} and self.more:
            paginator["has_more_path"] = "has_more"
        sized = self.kind != "offset" and (self.kind in {"newest_first", "page_number"} or self.asked > 5)
        return spec(
            paginator,
            endpoint={"no_more": [404], **({"data_selector": "items"} if enveloped else {})},
            **({"page": {"param": "limit", "size": self.asked}} if sized else {}),
        )

    said: int | None = None
    first_rows = 0

    def __call__(self, request: Request) -> Answer:
        """Answer as the server does."""
        self.requests += 1
        listed = self._listed(request)
        size = min(int(request.query.get("limit", self.asked)), self.cap)
        start = self._start(request, size)
        page = listed[start : start + size]
        if self.requests == 1:
            self.first_rows = len(page)
        if self.fault == "refused" and self.requests > 1 and not page:
            return Answer(b"no", 404)
        following = start + size - (self.overlap if size > 1 else 0)
        last = start + size >= len(listed)
        if self.kind in {"header_link", "json_link", "cursor", "header_cursor"}:
            if self.fault == "loop" and last:
                last, following = False, max(0, len(listed) - size)
            elif self.fault == "cycle" and self.requests > 2:
                return self._answered(request, page, listed, max(1, size * (self.requests % 3)), size)
        return self._answered(request, page, listed, None if last or following <= start else following, size)

    def _listed(self, request: Request) -> list[dict[str, Any]]:
        low, high = int(request.query.get("from", 0)), int(request.query.get("to", 1 << 60))
        if self.fault == "insert" and self.requests == 2:
            self.rows.insert(0, row(9_999, START + DAYS * 24 * HOUR - 1))
        listed = list(self.rows)
        if self.fault != "filter":
            listed = [r for r in listed if low <= r["at"] < high or r["id"] == 9_998]
        if self.fault == "shuffle":
            self.draw.shuffle(listed)
        return listed

    def _start(self, request: Request, size: int) -> int:
        if self.kind == "offset":
            return int(request.query["offset"])
        if self.kind == "page_number":
            asked = int(request.query.get("limit", self.asked))
            return int(request.query["page"]) * (asked if self.skips else size)
        return int(request.query.get("cursor", 0))

    def _answered(self, request: Request, page: Any, listed: Any, following: int | None, size: int) -> Answer:
        if self.kind == "newest_first":
            return answer(page)
        size = size if self.steady else max(len(page), 1)
        totals = {
            "rows": len(listed),
            "page": len(page),
            "pages": -(-len(listed) // size),
            "high": len(listed) + 7,
            "low": len(listed) // 2,
        }
        body: dict[str, Any] = {"items": page}
        name = "total"
        said = totals.get(self.total or "")
        headers = {"X_Total_Count": str(len(listed))} if self.total == "x-total-count" else {}
        if self.total == "undeclared":
            name, said = "total_count", len(listed)
        elif self.total == "left":
            after = listed.index(page[-1]) + 1 if page else len(listed)
            body["remaining"] = len(listed) - after
        elif self.total == "total_pages":
            name, said = "total_pages", totals["pages"]
        if said is not None:
            body[name] = str(said) if self.as_text else said
            self.said = said
        if self.more:
            body["has_more"] = following is not None
        stamp = f"&t={self.requests}" if self.fault == "stamp" else ""
        query = "".join(f"&{k}={v}" for k, v in request.query.items() if k in {"from", "to", "limit"})
        link = None if following is None else f"/rows?cursor={following}{query}{stamp}"
        if self.kind == "header_link":
            return answer(page, **headers, **({"Link": f'<{link}>; rel="next"'} if link else {}))
        if self.kind == "header_cursor":
            return answer(page, **headers, **({"X_Next": str(following)} if link else {}))
        if self.kind == "json_link":
            body[self.marker] = link or self.draw.choice([None, "", False])
        elif self.kind == "cursor":
            body[self.marker] = following or self.draw.choice([None, "", False])
        return answer(body, **headers)

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.fault} cap {self.cap} of {self.asked} rows {len(self.rows)}"
            f" total {self.total} said {self.said} more {self.more} skips {self.skips} overlap {self.overlap}"
        )


def check(server: FakeSource, drawn: range) -> None:
    """Fail if a server loses rows unnoticed, if an ordinary one is refused, or if few are taken at all."""
    ends = search(server, Drawn, drawn)
    assert not ends.losses, str(ends)
    assert not ends.refused, str(ends)
    assert ends.counts["undecidable"] <= len(drawn) // 50, str(ends)
    assert ends.counts["complete"] >= len(drawn) // 4, str(ends)


def test_no_drawn_server_loses_rows_unnoticed(server: FakeSource) -> None:
    check(server, range(100))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_none_of_many_drawn_servers_loses_rows_unnoticed(server: FakeSource) -> None:
    check(server, seeds(1_500))
