"""Fixtures: building models in a home of the test's own, and reading what came of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millpond.lake import read
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import settings
from millpond.transform.manifest import load_project
from millpond.transform.results import BuildResult
from millpond.transform.runner import build
from raw_rows import Build, Rows


@pytest.fixture
def build_all(home: Home) -> Build:
    """Return a function that builds every model, or those named, over a window of `main`."""

    def built(window: Window, *names: str, ref: str = "main", run_id: str = "test") -> BuildResult:
        return build(names or list(load_project(settings()).models()), window, ref=ref, run_id=run_id)

    return built


@pytest.fixture
def table() -> Callable[..., Rows]:
    """Return a function that reads a table as rows by key: `table("gold.dim_date", "date_day")`."""

    def rows(name: str, *key: str, ref: str = "main") -> Rows:
        found = read.scan(ref, name).to_pylist()
        by_key = {tuple(r[k] for k in key) if len(key) > 1 else r[key[0]]: r for r in found}
        assert len(by_key) == len(found)
        return by_key

    return rows
