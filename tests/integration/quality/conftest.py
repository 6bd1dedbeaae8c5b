"""Every test here has an empty home, and both sources are a server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fake_source import FakeSource, fake_source
from millpond.runtime.home import Home
from millpond.settings import Settings


@pytest.fixture
def server(home: Home, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(greenhouse_url=source.url, market_url=source.url, market_user="corner")
        yield source
