"""What Dagster does around each event of a run, with less work."""

from __future__ import annotations

import logging
import signal
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from millpond.internals.dagster import DagsterLogHandler, ScopedResourcesBuilder, interrupts


def spare_events() -> None:
    """Have an event take less.

    Dagster makes an empty log record for each, to see which attributes every record has. And it changes the
    handlers of two signals seven times for each thing that a step yields; Python's `signal` looks for every
    handler in an enum, in which functions are not.
    """
    known = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})

    def extract_extra(_handler: Any, made: logging.LogRecord) -> dict[str, Any]:
        return {name: value for name, value in vars(made).items() if name not in known}

    handlers: Any = DagsterLogHandler
    handlers._extract_extra = extract_extra
    module: Any = interrupts
    plain = import_module("_signal")
    quick = {"signal": plain.signal, "getsignal": plain.getsignal}
    module.signal = SimpleNamespace(**vars(signal) | quick)


def share_empty_resources() -> None:
    """Have all contexts without resources share an object; Dagster makes a class for each of 300 in a day."""
    builders: Any = ScopedResourcesBuilder
    build, empty = builders.build, builders.build_empty()
    builders.build = lambda made, keys: build(made, keys) if keys or made.contains_generator else empty
