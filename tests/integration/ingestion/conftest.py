"""Every test here has an empty home, and both sources are a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from shrunk_days import DAYS, rows_of

from fake_source import Entries, FakeSource, fake_source, reading
from millpond.settings import Settings
from source_tables import load_days


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(
            greenhouse_url=source.url,
            market_url=source.url,
            market_user="corner",
            request_budget_seconds=3,
            request_timeout_seconds=1,
            rate_limit_wait_seconds=1,
        )
        yield source


@pytest.fixture
def loaded_source(server: FakeSource) -> FakeSource:
    """Return a source of which five days of 40 rows are loaded, with a bad row on the second."""
    server.serve = Entries([*rows_of(40, 40, 40, 40, 40), reading(99, DAYS[1], lux="LOW")])
    assert not load_days(DAYS[0], DAYS[-1]).failed
    return server
