"""Every test here has an empty home, and both sources are a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fake_source import FakeSource, fake_source
from millpond.settings import Settings


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
