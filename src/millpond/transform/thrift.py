"""What dbt does anew in each call although nobody here looks at it: a fifth of the time of a day's build."""

from __future__ import annotations

from functools import cache
from typing import Any

from dbt.plugins.manager import PluginManager
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager

HEARD = frozenset({"GenericExceptionOnRun"})
"""Events that are passed on at any level."""


class Undebugged(EventManager):
    """Passes events on to loggers and callbacks, but none for debugging, of which a model makes dozens."""

    def fire_event(self, e: BaseEvent, level: EventLevel | None = None, *more: Any, **named: Any) -> None:
        """Pass on an event of dbt."""
        if (level or e.level_tag()) != EventLevel.DEBUG or type(e).__name__ in HEARD:
            super().fire_event(e, level, *more, **named)


@cache
def spare() -> None:
    """Have dbt in this process look for plugins once, name no source of behavior flags, and debug nothing.

    For each of its flags dbt asks the whole call stack for its files, to say who declared it.
    """
    ctx_set_event_manager(Undebugged())
    plugins: Any = PluginManager
    plugins.get_prefixed_modules = cache(PluginManager.get_prefixed_modules)
    flags: Any = BehaviorFlagRendered
    flags._default_source = staticmethod(lambda: "dbt")
