"""Trino, a server of its own: what the profile scale builds with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from millpond.transform.samples import Ask, Refused


class TrinoEngine:
    """See `engine.Engine`."""

    target = "scale"
    kind = "trino"
    unit_tests = False
    options: tuple[str, ...] = ()

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
                return trino.query(sql, ref)
            except TrinoQueryError as error:
                raise Refused(error.message) from error

        yield ask

    def enter(self, ref: str) -> None:
        """Give Trino a catalog of the branch."""
        from millpond.lake import trino

        trino.open_catalog(ref)

    def leave(self, ref: str) -> None:
        """Have Trino forget the catalog of the branch; who looks at it later makes it anew."""
        from millpond.lake import trino

        trino.drop_catalog(ref)


ENGINE = TrinoEngine()
