"""Building models in a home of the test's own, and reading what came of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millpond.lake import read
from model_builds import build_all, table  # noqa: F401 - fixtures


@pytest.fixture
def state() -> Callable[..., dict[str, list[str]]]:
    """Return a function that reads all tables of a ref in a form that can be compared.

    Without lineage and snapshots, which say when something was built.
    """

    def contents(ref: str = "main") -> dict[str, list[str]]:
        return {
            name: sorted(
                str({k: v for k, v in row.items() if not k.startswith("_")})
                for row in read.scan(ref, name).to_pylist()
            )
            for name in read.list_tables(ref)
            if not name.endswith("_versions")
        }

    return contents


@pytest.fixture
def snapshots() -> Callable[..., dict[str, int | None]]:
    """Return a function that reads the current snapshot of each table of a ref."""

    def current(ref: str = "main") -> dict[str, int | None]:
        return {
            name: read.load_table(ref, name).metadata.current_snapshot_id for name in read.list_tables(ref)
        }

    return current
