"""The engines that build and check the models: DuckDB in this process (embedded), Trino (scale)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from millpond.settings import Settings

Query = Callable[[str], tuple[list[str], Sequence[Sequence[Any]]]]
"""Runs a query on one ref; returns names of columns and rows, or raises Refused."""


class QueryError(Exception):
    """The engine could not run a query; the text is its own."""


class SqlEngine:
    """The engine that computes models: DuckDB. It imports what it needs when it is first used."""

    target = "embedded"
    """Its target in `profiles.yml`."""
    kind = "duckdb"
    """Its name in Dagster's pages."""
    options: tuple[str, ...] = ("--threads=1",)
    """Options of dbt: DuckDB's queries use all cores, and Python's threads would wait for each other."""
    unit_tests = True
    """Whether builds run unit tests: they need temporary tables."""

    def prepare(self) -> None:
        """Prepare dbt in this process, before each command; dbt-duckdb loads our plugin itself."""

    def warm_up(self) -> None:
        """Import what a build needs."""
        from millpond.transform import plugin

        assert plugin

    @contextmanager
    def connect(self, ref: str) -> Iterator[Query]:
        """Query a ref within the block, as it is when the block begins."""
        import duckdb

        from millpond.lake import duck

        with duck.connect(ref) as connection:

            def query(sql: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
                try:
                    found = connection.execute(sql)
                    return [column[0] for column in found.description or ()], found.fetchall()
                except duckdb.Error as error:
                    raise QueryError(str(error)) from error

            yield query

    def open_branch(self, ref: str) -> None:
        """Prepare an audit branch for a build; the plugin shows it. Raises ServerUnreachable."""

    def close_branch(self, ref: str) -> None:
        """Release an audit branch that is merged, dropped or kept; the next build shows its own."""


class TrinoEngine(SqlEngine):
    """Trino, a server of its own, with a catalog for each ref."""

    target = "scale"
    kind = "trino"
    options = ()
    unit_tests = False

    def prepare(self) -> None:
        """Have dbt use our adapter."""
        logging.getLogger("trino").setLevel(logging.WARNING)  # it logs its OAuth2 options
        from millpond.transform.trino_adapter import install

        install()

    def warm_up(self) -> None:
        """Import what a build needs."""
        self.prepare()

    @contextmanager
    def connect(self, ref: str) -> Iterator[Query]:
        """Query a ref."""
        from trino.exceptions import TrinoQueryError

        from millpond.lake import trino

        def query(sql: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
            try:
                return trino.run_query(sql, ref)
            except TrinoQueryError as error:
                raise QueryError(error.message) from error

        yield query

    def open_branch(self, ref: str) -> None:
        """Give Trino a catalog of the branch."""
        from millpond.lake import trino

        trino.open_catalog(ref)

    def close_branch(self, ref: str) -> None:
        """Drop the catalog of the branch in Trino; it is created again when the branch is read."""
        from millpond.lake import trino

        trino.drop_catalog(ref)


_ENGINES = {engine.target: engine for engine in (SqlEngine(), TrinoEngine())}


def get_engine(settings: Settings) -> SqlEngine:
    """Return the engine of the profile of `settings`."""
    return get_engine_of_target(settings.profile)


def get_engine_of_target(target: str) -> SqlEngine:
    """Return the engine of a target of the dbt profile, DuckDB for targets that are not Millpond's."""
    return _ENGINES.get(target, _ENGINES["embedded"])
