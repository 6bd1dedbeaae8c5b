"""dbt's events without those for debugging, of which a model makes dozens, at a tenth of dbt's own time."""

from __future__ import annotations

from typing import Any

from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager

HEARD = frozenset({"GenericExceptionOnRun"})
"""Events that are passed on at any level."""


class Undebugged(EventManager):
    """Passes events on to loggers and callbacks, unless they are for debugging."""

    def fire_event(self, e: BaseEvent, level: EventLevel | None = None, *more: Any, **named: Any) -> None:
        """Pass on an event of dbt."""
        if (level or e.level_tag()) != EventLevel.DEBUG or type(e).__name__ in HEARD:
            super().fire_event(e, level, *more, **named)
