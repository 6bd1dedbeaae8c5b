"""Listings alone are read here, with no lake: one server serves all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fake_source import FakeSource, fake_source


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeSource]:
    with fake_source() as source:
        yield source


@pytest.fixture
def server(shared: FakeSource) -> FakeSource:
    shared.requests.clear()
    shared.script.clear()
    return shared
