"""Searches over servers drawn at random: whatever a server is like, no rows are lost unnoticed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from fake_source import Answer, FakeSource, Request
from listings import read
from millpond.errors import SourceError
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.spec import SourceSpec

DAYS = 4
MOST_REQUESTS = 400
"""Far more than any drawn server needs to list its rows."""


class DrawnServer(Protocol):
    """A server drawn at random by its seed, and the table that a person may declare for it."""

    requests: int

    @property
    def ordinary(self) -> bool:
        """Whether it does nothing odd, so that its listing has to be taken."""

    def spec(self) -> SourceSpec:
        """Return the declared table."""

    def __call__(self, request: Request) -> Answer:
        """Answer as the server does."""

    def outcomes(self, found: set[int], listing: Listing) -> Iterable[tuple[str, str]]:
        """Yield what became of a listing that was taken: a word ("lost" if rows are), and more about it."""


@dataclass
class Ends:
    """How the listings of drawn servers ended, the losses, and which ordinary servers were refused."""

    counts: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    ordinary: int = 0
    refused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(
            [
                str(dict(self.counts)),
                f"{len(self.refused)} of {self.ordinary} ordinary servers refused",
                *self.losses[:20],
                *self.refused[:20],
            ]
        )


def search(server: FakeSource, draw: Callable[[int], DrawnServer], seeds: Iterable[int]) -> Ends:
    """Return how the listings of the servers with these `seeds` ended; each has to end after few requests."""
    ends = Ends()
    for seed in seeds:
        drawn = draw(seed)
        server.serve = drawn
        server.requests.clear()
        ends.ordinary += drawn.ordinary
        try:
            found, listing = read(drawn.spec(), server.url, days=DAYS)
        except SourceError as error:
            ends.counts[type(error).__name__] += 1
            if drawn.ordinary:
                ends.refused.append(f"{seed}: {drawn}: {error.what}")
            continue
        finally:
            assert drawn.requests < MOST_REQUESTS, f"{seed} answered {drawn.requests} requests"
        for end, about in drawn.outcomes(set(found), listing):
            ends.counts[end] += 1
            if end == "lost":
                ends.losses.append(f"{seed}: {drawn}: {about}")
    return ends


def seeds(draws: int) -> range:
    """Return the seeds of a long search: as many as DRAWS says, from FIRST_SEED on; else `draws`."""
    first = int(os.environ.get("FIRST_SEED", "0"))
    return range(first, first + int(os.environ.get("DRAWS", str(draws))))
