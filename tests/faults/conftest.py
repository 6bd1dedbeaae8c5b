"""A source with a token and little time for its answers, for the tests that make it fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from failing_source import CANARY, ROWS

from fake_source import Entries, FakeSource, fake_source
from millpond.settings import Settings


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    """Yield a source of three rows whose loads give up after seconds."""
    with fake_source() as source:
        configure(
            greenhouse_url=source.url,
            greenhouse_token=CANARY,
            request_budget_seconds=3,
            request_timeout_seconds=0.5,
            rate_limit_wait_seconds=2,
        )
        source.serve = Entries(ROWS)
        yield source
