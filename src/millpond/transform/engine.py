"""The engines that build and check the models: DuckDB in this process (embedded), Trino (scale)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from millpond.settings import Settings

Ask = Callable[[str], tuple[list[str], Sequence[Sequence[Any]]]]
"""Runs a query on one ref; returns names of columns and rows, or raises Refused."""


class Refused(Exception):
    """The engine could not run a query; the text is its own."""


class Engine:
    """What computes models; DuckDB. It imports what it needs when it is first used."""

    target = "embedded"
    """Its target in `profiles.yml`."""
    kind = "duckdb"
    """What Dagster's pages call it."""
    options: tuple[str, ...] = ("--threads=1",)
    """Options of dbt: DuckDB's queries use all cores, and Python's threads would wait for each other."""
    unit_tests = True
    """Whether builds run unit tests: they need temporary tables."""

    def prepare(self) -> None:
        """Fit dbt in this process for the lake, before each command; dbt-duckdb loads our plugin itself."""

    def warm_up(self) -> None:
        """Import what a build needs."""
        from millpond.transform import plugin

        assert plugin

    @contextmanager
    def querying(self, ref: str) -> Iterator[Ask]:
        """Query a ref within the block, as it is when the block begins."""
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
        """Make an audit branch ready to be built on; the plugin shows it. Raises ServerUnreachable."""

    def leave(self, ref: str) -> None:
        """Let go of an audit branch that is merged, dropped or kept; the next build shows its own."""


class TrinoEngine(Engine):
    """Trino, a server of its own, with a catalog for each ref."""

    target = "scale"
    kind = "trino"
    options = ()
    unit_tests = False

    def prepare(self) -> None:
        """Have dbt use our adapter."""
        logging.getLogger("trino").setLevel(logging.WARNING)  # it tells of what it could do with OAuth2
        from millpond.transform.trino_adapter import install

        install()

    def warm_up(self) -> None:
        """Import what a build needs."""
        self.prepare()

    @contextmanager
    def querying(self, ref: str) -> Iterator[Ask]:
        """Query a ref."""
        from trino.exceptions import TrinoQueryError

        from millpond.lake import trino

        def ask(sql: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
            try:
                return trino.run_query(sql, ref)
            except TrinoQueryError as error:
                raise Refused(error.message) from error

        yield ask

    def enter(self, ref: str) -> None:
        """Give Trino a catalog of the branch."""
        from millpond.lake import trino

        trino.open_catalog(ref)

    def leave(self, ref: str) -> None:
        """Have Trino forget the catalog of the branch, which is made again when somebody reads it."""
        from millpond.lake import trino

        trino.drop_catalog(ref)


_ENGINES = {engine.target: engine for engine in (Engine(), TrinoEngine())}


def of(settings: Settings) -> Engine:
    """Return the engine of the profile of `settings`."""
    return of_target(settings.profile)


def of_target(target: str) -> Engine:
    """Return the engine of a target of the dbt profile, DuckDB for those that are not Millpond's."""
    return _ENGINES.get(target, _ENGINES["embedded"])
