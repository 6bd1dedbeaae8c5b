"""What is checked before a source is asked: the home's time zone, the table's origin, the host's breaker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from millpond.errors import BreakerOpen, SourceError, SourceUnreachable
from millpond.ingestion import breaker, origins
from millpond.ingestion.breaker import Breaker
from millpond.ingestion.origins import Origin, origin_of
from millpond.ingestion.reader import Reader
from millpond.ingestion.source_errors import add_place
from millpond.lake import home_zone
from millpond.partitions import Window
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow
from millpond.settings import settings


@dataclass
class Guard:
    """Keeps a load from asking a host whose breaker is open, and from mixing rows of two origins."""

    reader: Reader
    _known: Breaker | None = field(default=None, init=False)
    _recorded: bool = field(default=False, init=False)

    @property
    def origin(self) -> Origin:
        """Where the rows come from."""
        return origin_of(self.reader.source, self.reader.table, self.reader.values, settings())

    def admit(self) -> None:
        """Return if the host may be asked. Raises ZoneChanged, OriginChanged, BreakerOpen; one connection."""
        if self.reader.host:
            self._known = breaker.admit(self.reader.host, self.reader.probe, alongside=self._check_origin)
            return
        with borrow(databases().ops) as connection:
            self._check_origin(connection)

    def record_origin(self) -> None:
        """Note, before the first rows of the table are written, where they come from and in which zone."""
        home_zone.record_zone()
        if not self._recorded:
            origins.record(self.origin)
            self._recorded = True

    def refusal(self, window: Window) -> BreakerOpen | None:
        """Return the reason why nothing of `window` can be fetched now, if there is one."""
        try:
            self.admit()
        except BreakerOpen as error:
            refused = add_place(error, self.reader.table.describe(window))
            assert isinstance(refused, BreakerOpen)
            return refused
        return None

    def note(self, errors: Iterable[SourceError], pages: int) -> None:
        """Have the breaker know how a load ended: with these errors of its streams, after so many pages."""
        host, source = self.reader.host, self.reader.source
        if host is None:
            return
        for error in errors:
            if isinstance(error, SourceUnreachable):
                assets = [table.asset for table in source.tables]
                breaker.record_failure(host, error, source.source, assets)
                return
            pages += 1  # to refuse is to answer
        if pages:
            breaker.record_answer(host, self._known)

    def _check_origin(self, connection: psycopg.Connection[Any]) -> None:
        home_zone.check_zone(connection)
        self._recorded = origins.check(connection, self.origin)
