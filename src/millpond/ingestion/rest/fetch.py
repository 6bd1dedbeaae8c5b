"""Reads a window over HTTP: cut into streams of requests, several at a time, their rows staged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa

from millpond.errors import (
    FilterIgnored,
    ListingIncomplete,
    MillpondError,
    PagingLoop,
    SourceError,
    SourceMalformed,
)
from millpond.ingestion.batches import JSON, StagedBatches
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.auth import create_auth
from millpond.ingestion.rest.children import Family
from millpond.ingestion.rest.client import TableClient
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.reach import beyond_reach, unproven_days
from millpond.ingestion.rest.source_request import date_zone
from millpond.ingestion.retry import Stopped
from millpond.ingestion.source_errors import UNHARMED, add_place
from millpond.ingestion.spec import SourceTable
from millpond.partitions import Window
from millpond.redaction import excerpt

_BYTES_AT_ONCE = 4 << 20
_OF_ONE_STREAM = (SourceMalformed, PagingLoop, ListingIncomplete, FilterIgnored)
"""What ends a stream of requests, and says nothing about the others."""


@dataclass
class Piece:
    """A part of a window, what its stream of requests has seen, and why it ended early if it did."""

    window: Window
    listing: Listing
    stopped: bool = False
    error: SourceError | None = None
    failed: dict[dt.date, SourceError] = field(default_factory=dict)
    """Days of it that are not whole, though it did not end early."""


def fetch(client: TableClient, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
    """Return the rows that the source serves for `window`, staged in `folder`.

    A stream that fails takes its own days with it; if the source is down or refuses, the others end too.
    """
    spec = client.table.window
    parts = [window] if spec.reach or not client.table.has_days else list(window.chunks(spec.piece_days))
    client = replace(client, auth=create_auth(client.source, client.values, client.limits, client.gate))
    pieces = [Piece(part, _new_listing(client.table, part, zone)) for part in parts]
    try:
        streams = [partial(_stream, client, piece, _pages(client, piece, zone)) for piece in pieces]
        staged = StagedBatches(folder, decoded=True)
        with client.gate.close_on_signals():
            staged.take(streams, spec.parallel)
    finally:
        client.gate.stop()
    failed = {**_failures(client, pieces), **_out_of_reach(client, pieces, zone)}
    unproven = unproven_days(client.table, pieces[0].window, pieces[0].listing, zone)
    return FetchResult(
        files=staged.files,
        held=staged.held,
        rows=sum(piece.listing.rows for piece in pieces),
        pages=sum(piece.listing.pages for piece in pieces),
        streams=[piece.window.start for piece in pieces],
        fields=set().union(*(piece.listing.fields for piece in pieces)),
        errors=[piece.error for piece in pieces if piece.error],
        failed=failed,
        unproven=unproven,
    )


def _pages(client: TableClient, piece: Piece, zone: ZoneInfo) -> Iterator[pa.Table]:
    """Return the rows of a piece, page by page; they may be below those of another table."""
    parent = client.table.parent
    if parent is None:
        return client.pages(piece.listing)
    (above,) = (table for table in client.source.tables if table.name == parent)
    family = Family(
        client, replace(client, table=above), piece.window, piece.listing, zone, failed=piece.failed
    )
    return family.pages(_new_listing(above, piece.window, zone))


def _stream(client: TableClient, piece: Piece, pages: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of a piece, several pages at a time: small tables are read slowly later.

    What ends it early is noted in it, or ends the others too.
    """
    held: list[pa.Table] = []
    size = 0
    try:
        for page in pages:
            held.append(page.rename_columns([JSON]))
            size += page.nbytes
            if size > _BYTES_AT_ONCE:
                yield pa.concat_tables(held).combine_chunks()
                held, size = [], 0
    except Stopped:
        piece.stopped = True
    except SourceError as error:
        piece.error = error
        if not isinstance(error, _OF_ONE_STREAM):
            client.gate.stop()
    except (MillpondError, GeneratorExit):  # what was yielded could not be kept
        client.gate.stop()
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of an answer
        piece.error = SourceMalformed(
            f"what the source sent cannot be read: {type(error).__name__}: {excerpt(str(error))}",
            unharmed=UNHARMED,
            next_step=f"see what it serves, and the endpoint in sources/{client.source.source}.yaml",
        )
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _failures(client: TableClient, pieces: list[Piece]) -> dict[dt.date, SourceError]:
    ended = SourceError("the load was ended from outside before all was fetched", next_step="repeat it")
    cause = next((piece.error for piece in pieces if piece.error), ended)
    failed = {}
    for piece in pieces:
        error = piece.error or (cause if piece.stopped else None)
        if error:
            error = add_place(error, client.table.describe(piece.window))
            failed.update(dict.fromkeys(piece.window.days, error))
        for day, why in piece.failed.items():
            failed.setdefault(day, add_place(why, client.table.describe(day)))
    return failed


def _out_of_reach(client: TableClient, pieces: list[Piece], zone: ZoneInfo) -> dict[dt.date, SourceError]:
    if client.table.window.reach is None or pieces[0].error or pieces[0].stopped:
        return {}
    return dict(beyond_reach(client.table, pieces[0].window, pieces[0].listing, zone))


def _new_listing(table: SourceTable, window: Window, zone: ZoneInfo) -> Listing:
    """Return the listing for `window`; where dates of another zone are asked for, with a day around it."""
    start, end = (int(moment.timestamp()) * 1_000_000 for moment in table.ask(window, zone))
    margin = table.window.margin
    named = {name for text in table.bounds.values() for name in placeholders.names(text)}
    if any(map(placeholders.is_date, named)) and (table.changes or date_zone(table, zone) != zone):
        margin = max(margin, dt.timedelta(days=1))
    return Listing(start, end, margin // dt.timedelta(microseconds=1))
