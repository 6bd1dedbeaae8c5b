"""DuckDB, in this process: what the profile embedded builds with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from millpond.transform.samples import Ask, Refused


class DuckEngine:
    """See `engine.Engine`."""

    target = "embedded"
    kind = "duckdb"
    unit_tests = True
    options: tuple[str, ...] = ("--threads=1",)
    """Its queries use all cores; what is left is Python, which threads only make wait for each other."""

    def prepare(self) -> None:
        """Nothing: dbt-duckdb loads our plugin by itself."""

    def warm_up(self) -> None:
        """Import what a build needs."""
        from millpond.transform import plugin

        assert plugin

    @contextmanager
    def querying(self, ref: str) -> Iterator[Ask]:
        """Query a ref."""
        import duckdb

        from millpond.lake import duck

        with duck.connect(ref) as connection:

            def ask(sql: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
                try:
                    found = connection.execute(sql)
                    return [column[0] for column in found.description or ()], found.fetchall()
                except duckdb.Error as error:
                    raise Refused(str(error)) from error

            yield ask

    def enter(self, ref: str) -> None:
        """Nothing: the plugin shows the branch."""

    def leave(self, ref: str) -> None:
        """Nothing: the next build shows its own ref."""


ENGINE = DuckEngine()
