"""The seam between kinds of sources: each has a reader, which stages the rows of a window.

Rows are JSON texts, which the row contract takes apart, or typed columns. All that follows is shared.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond import redaction
from millpond.errors import ConfigError, SourceError
from millpond.ingestion.origins import refuse_without_address
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window
from millpond.runtime.demo_source import serves_demo
from millpond.settings import Settings, variable

PROBE_SECONDS: Final = 10.0
"""Time for one small request, which is made once and not repeated."""

STREAM_SHIFT, PAGE_SHIFT = 44, 24
"""`_seq` of a row is stream << 44 | page << 24 | row: the order in which rows were fetched."""


@dataclass(frozen=True)
class FetchResult:
    """The staged rows of a window, in Parquet files, or `held` in memory.

    JSON rows have the columns `_seq` and `_payload`. Typed rows have `_seq` and, for the field number n of
    `names`, the column `__c<n>`, so that names of a source never meet those of Millpond; see `batches`.

    `rows` and `pages` count what the source served, `streams` has the first day that each stream asked for,
    `fields` the names of all fields that rows had, `errors` what ended streams early. `failed` says for each
    day that is not whole why it is not. Of `unproven` days nobody knows whether the source still serves all
    of them. `other_days` says that rows of days that were not asked for are among them; or `spans` of which
    days the rows of each stream may be, where others are out of place. `marked` files have the columns
    `_broken`, why a row cannot be taken apart, and `_line`, its text. `stream_days` gets the days of each
    stream's rows, None for those without a time; `note_loaded` is told which days were loaded into main;
    `broken_streams` are those that an error ended. Unless typed rows `may_hold_nul`, none of their texts has
    that character.
    """

    files: list[Path]
    rows: int
    pages: int
    streams: list[dt.date]
    names: list[str] | None = None
    fields: set[str] = field(default_factory=set)
    errors: list[SourceError] = field(default_factory=list)
    failed: dict[dt.date, SourceError] = field(default_factory=dict)
    unproven: frozenset[dt.date] = frozenset()
    other_days: bool = False
    spans: list[Window] | None = None
    marked: bool = False
    stream_days: dict[int, set[dt.date | None]] = field(default_factory=dict)
    broken_streams: frozenset[int] = frozenset()
    note_loaded: Callable[[set[dt.date]], None] | None = None
    may_hold_nul: bool = True
    held: pa.Table | None = None


class Reader(Protocol):
    """Reads one table of a source."""

    @property
    def source(self) -> SourceSpec:
        """The source that is read."""

    @property
    def table(self) -> SourceTable:
        """The table that is read."""

    @property
    def values(self) -> Values:
        """The values of the placeholders `{url}`, `{user}` and `{token}`."""

    @property
    def host(self) -> str | None:
        """The server that is asked, under which its breaker is kept; None where there is none."""

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Stage in `folder` the rows that the source has for the days of `window` in `zone`.

        Days that cannot be read are in `failed` of the result. Raises ConfigError.
        """

    def probe(self) -> None:
        """Find out, at little cost, whether the source can be read; raises a SourceError."""


def read_values(source: SourceSpec, configured: Settings) -> Values:
    """Return the values of the connection's placeholders, credentials registered for redaction."""
    found = configured.source(source.source)
    token = found.token.get_secret_value() if found.token else None
    values = placeholders.connection(found.url, found.user, token)
    for secret in placeholders.SECRET:
        redaction.register(values[secret])
    return values


def find_address(
    source: SourceSpec, table: SourceTable, values: Values, example: str, configured: Settings
) -> str:
    """Return the address of `source`, that of the demo data where it stands in.

    Raises ConfigError, with an `example`, where it is not set, NoSourceAddress outside of a demo home.
    """
    if source.demo and serves_demo(configured, source.source):
        from millpond.runtime.demo_source.files import write_demo_files

        refuse_without_address(source, configured)
        return write_demo_files(configured, source.demo)
    address: str | None = placeholders.fill(source.location, values)
    if address is None:
        name = variable("url", source.source)
        raise ConfigError(
            f"{name} is not set, and {table.asset} needs it",
            next_step=f"set {name} in the environment or in .env, for example to {example}",
        )
    return address


def open_reader(source: SourceSpec, table: SourceTable, configured: Settings) -> Reader:
    """Return the reader of `table`; raises ConfigError for what is not set."""
    if source.kind == "rest":
        from millpond.ingestion.rest.reader import RestReader

        return RestReader.of(source, table, configured)
    if source.kind == "sql":
        from millpond.ingestion.sql.reader import SqlReader

        return SqlReader.of(source, table, configured)
    if source.kind == "files":
        from millpond.ingestion.files.reader import FileReader

        return FileReader.of(source, table, configured)
    from millpond.ingestion.resource import ResourceReader

    return ResourceReader.of(source, table, configured)
