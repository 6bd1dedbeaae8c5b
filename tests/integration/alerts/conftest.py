"""What the tests of alerts share: a recorded instance, rules for routing, the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alerting_assets import BROKEN

from alerting import FAST, TOKEN, Rows
from millpond.alerts.outbox import outbox
from millpond.runtime.home import Home
from millpond.settings import Settings
from receivers import Web, web


@pytest.fixture
def rows(home: Home) -> Rows:
    """Return a function that asks the outbox."""

    def ask(statement: str) -> list[dict[str, Any]]:
        with outbox() as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    return ask


@pytest.fixture
def routes(tmp_path: Path, configure: Callable[..., Settings]) -> Callable[[str], Settings]:
    """Return a function that puts an alerts.yaml in force."""

    def put(text: str = FAST) -> Settings:
        file = tmp_path / "alerts.yaml"
        file.write_text(text)
        return configure(alerts_file=file)

    return put


@pytest.fixture(autouse=True)
def _fails_at_first() -> None:
    BROKEN["now"] = True


@pytest.fixture
def slack(configure: Callable[..., Settings], routes: Callable[..., Settings]) -> Iterator[Web]:
    """Yield the server that the Slack webhook leads to."""
    with web() as service:
        configure(slack_webhook=f"{service.url}/services/{TOKEN}")
        yield service
