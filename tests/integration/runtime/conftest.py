"""Homes in which nothing was made yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.settings import Settings, settings


@pytest.fixture
def fresh_home(configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """Return a function that moves this test to a home without a cluster."""
    used = []
    open_to_all = settings().home.parent / tmp_path.name

    def moved(folder: Path = open_to_all, **values: object) -> Home:
        used.append(configure(home=folder, **values))
        return layout(used[-1])

    yield moved
    for each in used:
        down(each)
