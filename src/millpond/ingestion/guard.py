"""What is checked before a source is asked: the home's time zone, the table's origin, the host's breaker."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from millpond.errors import BreakerOpen, SourceError, SourceUnreachable
from millpond.ingestion import breaker, origins
from millpond.ingestion.breaker import Breaker
from millpond.ingestion.origins import Origin, origin_of
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.rest.probe import probe
from millpond.ingestion.retry import Limits
from millpond.ingestion.source_errors import add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.lake import home_zone
from millpond.partitions import Window
from millpond.settings import settings

LOOK_SECONDS: Final = 10.0
"""Time for one small request, which is made once and not repeated."""


@dataclass
class Guard:
    """Keeps a load of `table` from asking a host whose breaker is open."""

    source: SourceSpec
    table: SourceTable
    values: Values
    limits: Limits
    _known: Breaker | None = field(default=None, init=False)
    _recorded: bool = field(default=False, init=False)

    @property
    def host(self) -> str:
        """The server that is asked."""
        return breaker.host_of(fill(self.source.rest.base_url, self.values))

    @property
    def origin(self) -> Origin:
        """Where the rows come from."""
        return origin_of(self.source, self.table, self.values, settings())

    def admit(self) -> None:
        """Return if the host may be asked. Raises ZoneChanged, OriginChanged, BreakerOpen; one connection."""
        self._known = breaker.admit(self.host, self._probe, alongside=self._check_origin)

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
            refused = add_place(error, f"{self.table.asset}, {window}")
            assert isinstance(refused, BreakerOpen)
            return refused
        return None

    def note(self, errors: Iterable[SourceError], pages: int) -> None:
        """Have the breaker know how a load ended: with these errors of its streams, after so many pages."""
        for error in errors:
            if isinstance(error, SourceUnreachable):
                assets = [table.asset for table in self.source.tables]
                breaker.record_failure(self.host, error, self.source.source, assets)
                return
            pages += 1  # to refuse is to answer
        if pages:
            breaker.record_answer(self.host, self._known)

    def _check_origin(self, connection: psycopg.Connection[Any]) -> None:
        home_zone.check_zone(connection)
        self._recorded = origins.check(connection, self.origin)

    def _probe(self) -> None:
        now = int(time.time() * 1_000_000)
        one = {self.table.page.param: 1} if self.table.page else {}
        limits = self.limits.of_one_try(LOOK_SECONDS)
        probe(self.source, self.table, self.values, limits, (now - 86_400_000_000, now), extra=one)
