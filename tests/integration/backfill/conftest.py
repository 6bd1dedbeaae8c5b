"""A home, its Dagster instance, and assets that do what a test says."""

from collections.abc import Iterator

import pytest
import small_assets

from millpond.backfill import session


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an interrupted run end by itself also where a machine is busy; else pytest would be ended."""
    monkeypatch.setattr(session, "GRACE_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def _assets_unharmed() -> Iterator[None]:
    small_assets.seen.clear()
    yield
    small_assets.broken.clear()
