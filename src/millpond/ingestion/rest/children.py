"""Rows below the rows of another table: each parent has a listing of its own, by the rules of any listing."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond.errors import (
    FilterIgnored,
    ListingIncomplete,
    PagingLoop,
    SourceError,
    SourceMalformed,
    SourceRefused,
)
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.client import TableClient
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.pages import PAYLOAD, TIME
from millpond.partitions import Window

_OF_ONE_PARENT: Final = (SourceMalformed, PagingLoop, ListingIncomplete, FilterIgnored, SourceRefused)
_MOST_REFUSED: Final = 10
"""Parents below which the source may refuse to list, before the others are not asked for."""


@dataclass
class Family:
    """The listings below the parents of `window`, and for each day why one of its listings is not whole."""

    client: TableClient
    parents: TableClient
    window: Window
    listing: Listing
    zone: ZoneInfo
    failed: dict[dt.date, SourceError] = field(default_factory=dict)

    def pages(self, parents: Listing) -> Iterator[pa.Table]:
        """Yield the rows below all parents that `parents` lists, several at a time; raises a SourceError."""
        refused = 0
        with ThreadPoolExecutor(self.client.table.window.parallel) as pool:
            listed, many = self._parents(parents), 4 * self.client.table.window.parallel
            while some := list(islice(listed, many)):
                for (days, _), found in zip(some, pool.map(self._list, some), strict=True):
                    if isinstance(found, SourceError):
                        refused += isinstance(found, SourceRefused)
                        if refused > _MOST_REFUSED or not isinstance(found, _OF_ONE_PARENT):
                            raise found
                        self.failed |= dict.fromkeys(days.days, found)
                        continue
                    pages, below = found
                    self.listing.pages += below.pages
                    self.listing.rows += below.rows
                    yield from pages
        self.listing.ended = True

    def _parents(self, listing: Listing) -> Iterator[tuple[Window, TableClient]]:
        """Yield for each parent its days, and the client that lists the rows below it."""
        seen: set[str] = set()
        by_day = self.parents.table.load == "days"
        for page in self.parents.pages(listing, (PAYLOAD, TIME)):
            for text, moment in zip(page[PAYLOAD].to_pylist(), page[TIME].to_pylist(), strict=True):
                days = self.window
                if by_day:
                    if moment is None:
                        raise SourceMalformed(
                            f"a row of {self.parents.table.name} has no readable time, so it is not known of"
                            " which day the rows below it are",
                            next_step="see what the source sends, or correct event_time in the spec",
                        )
                    day = dt.datetime.fromtimestamp(moment / 1_000_000, self.zone).date()
                    if not self.window.start <= day <= self.window.last:
                        continue
                    days = Window.of_day(day)
                client = self._below(json.loads(text))
                key = json.dumps([client.included, client.values], sort_keys=True, default=str)
                if key not in seen:
                    seen.add(key)
                    yield days, client

    def _below(self, row: Any) -> TableClient:
        table, name = self.client.table, self.parents.table.name
        resolved = {
            used: _value(row, used.split(".", 2)[2], name)
            for _, text in table.http.templates()
            for used in placeholders.names(text)
            if placeholders.RESOURCE.fullmatch(used)
        }
        included = {
            f"_{name}_{each.replace('.', '_')}": _find(row, each) for each in table.http.include_from_parent
        }
        return replace(self.client, values={**self.client.values, **resolved}, included=included)

    def _list(self, child: tuple[Window, TableClient]) -> tuple[list[pa.Table], Listing] | SourceError:
        _, client = child
        below = Listing(self.listing.start, self.listing.end, self.listing.margin, fields=self.listing.fields)
        try:
            return list(client.pages(below)), below
        except SourceError as error:
            return error


def _find(row: Any, path: str) -> Any:
    for key in path.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


def _value(row: Any, path: str, parent: str) -> str:
    found = _find(row, path)
    text = found if isinstance(found, str) else json.dumps(found)
    if found is None or isinstance(found, dict | list) or text in {"", ".", ".."}:
        raise SourceMalformed(
            f"a row of {parent} has {text!r} at {path}, which the address of the rows below it needs",
            next_step="see what the source sends, or correct the field in the endpoint",
        )
    return text
