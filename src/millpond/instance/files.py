"""Dagster's files, which are below the home, whatever DAGSTER_HOME is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from millpond.internals.dagster import CapturedLogContext, ConfigurableClassData
from millpond.internals.dagster_on_demand import LocalArtifactStorage, LocalComputeLogManager
from millpond.runtime.home import layout
from millpond.settings import settings

_to_terminal: ContextVar[bool] = ContextVar("to_terminal", default=False)


class Unconfigured:
    """Part of a class that dagster.yaml names and has nothing to configure."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return what may be configured: nothing."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Return an instance; Dagster calls this."""
        return cls(inst_data, **config_value)  # type: ignore[call-arg]


class HomeComputeLogs(Unconfigured, LocalComputeLogManager):
    """The output of steps, in files below the home or, within `output_to_terminal`, in the terminal."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(str(layout(settings()).dagster / "storage"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture what this process prints within the block."""
        if _to_terminal.get():
            yield CapturedLogContext(log_key)
        else:
            with super().capture_logs(log_key) as context:
                yield context


class HomeArtifacts(Unconfigured, LocalArtifactStorage):
    """Dagster's artifact storage, below the home."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(str(layout(settings()).dagster), inst_data=inst_data)


@contextmanager
def output_to_terminal() -> Iterator[None]:
    """Do not capture the output of runs in this process, so that progress can be shown.

    Capturing sends all output of the process, including progress, through a file that is copied to the
    terminal once a second; the last lines get lost.
    """
    token = _to_terminal.set(True)
    try:
        yield
    finally:
        _to_terminal.reset(token)
