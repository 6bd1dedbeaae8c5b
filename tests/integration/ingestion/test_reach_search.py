"""Of a source that only lists, no day is called whole that lacks rows: a search over drawn servers."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from fake_source import Answer, FakeSource, Request, fake_source
from listings import HOUR, START, answer, row, spec
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.spec import SourceSpec
from searches import DAYS, search, seeds


@pytest.fixture(scope="module")
def server() -> Iterator[FakeSource]:
    with fake_source() as source:
        yield source


class Retaining:
    """A server that only lists, newest first, and no further back than it likes; as GitHub does.

    `everything` is what was there before it dropped its oldest rows.
    """

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        count = draw.choice([0, 2, 10, 40, 120, 250])
        spread = draw.choice([3, 10, 30]) * 24
        hours = sorted((draw.uniform(0, spread) for _ in range(count)), reverse=True)
        self.rows = [row(n, START + int((h - spread / 2) * HOUR)) for n, h in enumerate(hours)]
        self.everything = list(self.rows)
        self.size, self.fault = (
            draw.choice([5, 10, 30]),
            draw.choice([None, "pairs", "odd", "far", "404", "end"]),
        )
        self.page = draw.choice([self.size, self.size, max(3, self.size // 2)])
        if self.fault == "pairs":
            for place in range(0, len(self.rows) - 3, 4):
                self.rows[place], self.rows[place + 2] = self.rows[place + 2], self.rows[place]
        elif self.fault == "odd" and self.rows:
            self.rows.insert(draw.randrange(len(self.rows)), row(9_998, draw.choice([0, START * 2])))
        elif self.fault == "far" and len(self.rows) > 30:
            for _ in range(3):
                place = draw.randrange(len(self.rows) - 12)
                self.rows.insert(place + draw.randrange(12), self.rows.pop(place))
        kept = draw.choice([len(self.rows), len(self.rows), int(len(self.rows) * draw.uniform(0.2, 1))])
        self.rows = self.rows[:kept]
        self.nominal = draw.choice([kept, kept, 300])
        self.requests = 0

    def spec(self) -> SourceSpec:
        """Return the table as a person declares it for this server."""
        return spec(
            {"type": "header_link"},
            endpoint={"no_more": [404]},
            page={"param": "limit", "size": self.size},
            window={"reach": {"rows": max(self.nominal, 1), "days": 1}},
        )

    def __call__(self, request: Request) -> Answer:
        """Answer as the server does."""
        self.requests += 1
        number = int(request.query.get("page", 0))
        page = self.rows[number * self.page : (number + 1) * self.page]
        more = (number + 1) * self.page < len(self.rows)
        if not page and number and self.fault == "404":
            return Answer(b"no", 404)
        if more or (self.fault in {"404", "end"} and page):
            return answer(page, Link=f'</rows?page={number + 1}&limit={self.size}>; rel="next"')
        return answer(page)

    @property
    def ordinary(self) -> bool:
        """Whether its rows are in order, or nearly, and it does nothing odd."""
        return self.fault in {None, "pairs", "404"}

    def outcomes(self, found: set[int], listing: Listing) -> Iterator[tuple[str, str]]:
        """Yield what became of each day: a row that alone lies far behind its place leaves no sign."""
        for day in range(DAYS):
            low = START + day * 24 * HOUR
            wanted = {r["id"] for r in self.everything if low <= r["at"] < low + 24 * HOUR}
            lost = f"day {day}, {len(wanted - found)} of {len(wanted)}"
            if not listing.order.goes_back_before(low * 1000):
                yield "beyond reach", lost
            elif wanted <= found:
                yield "whole", lost
            else:
                yield "undecidable" if self.fault == "far" else "lost", lost

    def __str__(self) -> str:
        return f"{self.fault} {len(self.rows)} of {len(self.everything)} rows, {self.page} of {self.size}"


def check(server: FakeSource, drawn: range) -> None:
    """Fail if a day counts as whole and lacks rows, if an ordinary server is refused, or few days load."""
    ends = search(server, Retaining, drawn)
    assert not ends.losses, str(ends)
    assert not ends.refused, str(ends)
    assert ends.counts["whole"] >= len(drawn), str(ends)
    assert ends.counts["undecidable"] <= len(drawn) // 100, str(ends)


def test_no_day_that_counts_as_whole_lacks_rows(server: FakeSource) -> None:
    check(server, range(50))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_day_of_many_drawn_servers_that_counts_as_whole_lacks_rows(server: FakeSource) -> None:
    check(server, seeds(1_500))
