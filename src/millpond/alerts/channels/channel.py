"""What a channel is; each has a file of its own here."""

from __future__ import annotations

from typing import Protocol

from millpond.alerts.message import Message


class Channel(Protocol):
    """A way to reach people.

    One that keeps `incidents` opens and closes them under a key, and knows a message that it has seen.
    """

    @property
    def name(self) -> str:
        """What alerts.yaml calls it."""

    @property
    def incidents(self) -> bool:
        """Whether it keeps incidents."""

    def send(self, message: Message) -> None:
        """Deliver `message`, within seconds; raises AlertNotSent."""
