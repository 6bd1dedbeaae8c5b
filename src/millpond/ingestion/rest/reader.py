"""Reads a table over HTTP."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from millpond.ingestion.breaker import host_of
from millpond.ingestion.reader import PROBE_SECONDS, FetchResult
from millpond.ingestion.rest import source_request
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.rest.probe import probe
from millpond.ingestion.retry import Limits
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window
from millpond.settings import Settings


@dataclass(frozen=True)
class RestReader:
    """Reads the rows of a table with an `endpoint`; `values` are those of the connection's placeholders."""

    source: SourceSpec
    table: SourceTable
    values: Values
    limits: Limits
    zone: dt.tzinfo

    @classmethod
    def of(cls, source: SourceSpec, table: SourceTable, configured: Settings) -> RestReader:
        """Return the reader of `table`; raises ConfigError for what is not set."""
        values = source_request.connection(source, table, configured)
        return cls(source, table, values, Limits.of(configured), configured.zone)

    @property
    def host(self) -> str:
        """The server that is asked."""
        return host_of(fill(self.source.location, self.values))

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows that the source serves for `window`, staged in `folder`."""
        from millpond.ingestion.rest.client import TableClient  # imports dlt, which a probe does without
        from millpond.ingestion.rest.fetch import fetch

        client = TableClient(self.source, self.table, self.values, self.limits, zone=zone)
        return fetch(client, window, zone, folder)

    def probe(self) -> None:
        """Send one small request; raises a SourceError."""
        now = int(time.time() * 1_000_000)
        above = [table for table in self.source.tables if table.name == self.table.parent]
        table = above[0] if above else self.table
        page = table.page
        limits = self.limits.of_one_try(PROBE_SECONDS)
        span, extra = (now - 86_400_000_000, now), {page.param: 1} if page else {}
        probe(self.source, table, self.values, limits, span, self.zone, extra=extra)
