"""The interface behind which DuckDB (embedded) and Trino (scale) build and check the models."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from millpond.settings import Settings
from millpond.transform.samples import Ask


class Engine(Protocol):
    """What computes models. Each has a module of its own, imported when it is first needed."""

    target: str
    """Its target in `dbt/profiles.yml`."""
    kind: str
    """What Dagster's pages call it."""
    options: tuple[str, ...]
    """What dbt's command line says for it."""
    unit_tests: bool
    """Whether builds run unit tests: they need temporary tables."""

    def prepare(self) -> None:
        """Fit dbt in this process for the lake; called before each of its commands."""

    def warm_up(self) -> None:
        """Import what a build needs."""

    def querying(self, ref: str) -> AbstractContextManager[Ask]:
        """Query a ref within the block, as it is when the block begins."""

    def enter(self, ref: str) -> None:
        """Make an audit branch ready to be built on. Raises ServerUnreachable."""

    def leave(self, ref: str) -> None:
        """Let go of an audit branch that is merged, dropped or kept."""


def of(settings: Settings) -> Engine:
    """Return the engine of the profile of `settings`."""
    return of_target(settings.profile)


def of_target(target: str) -> Engine:
    """Return the engine of a target of the dbt profile; by name the same as Millpond's."""
    if target == "scale":
        from millpond.transform import engine_trino

        return engine_trino.ENGINE
    from millpond.transform import engine_duckdb

    return engine_duckdb.ENGINE
