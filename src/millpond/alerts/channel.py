"""What a channel is; each has a file of its own here."""

from __future__ import annotations

from typing import Protocol

from millpond.alerts.event import RunFailed


class Channel(Protocol):
    """A way to reach people."""

    name: str

    def send(self, event: RunFailed) -> None:
        """Deliver `event`, within seconds; raises AlertNotSent."""
