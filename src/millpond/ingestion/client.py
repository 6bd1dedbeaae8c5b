"""A source's declared client as dlt's REST client, whose pages are columns instead of lists of dicts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.sources.helpers.rest_client.client import RESTClient
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api.config_setup import create_auth, create_paginator
from requests import Request, Response

from millpond.errors import PagingLoop, SourceRefused
from millpond.ingestion import asking, placeholders
from millpond.ingestion.http import SourceSession
from millpond.ingestion.newest_first import NewestFirst
from millpond.ingestion.pages import PAYLOAD, TIME, PageDecoder
from millpond.ingestion.patience import Gate, Limits
from millpond.ingestion.placeholders import Values, bounds, filled
from millpond.ingestion.spec import SourceSpec, SourceTable

_NO_ROWS = pa.table({PAYLOAD: pa.array([], pa.string()), TIME: pa.array([], pa.int64())})
_MOST_PAGES = 100_000
_RESOLUTIONS = {"ms": 1_000, "s": 1_000_000, "iso": 1_000}


@dataclass
class Listing:
    """One stream of requests: the time it asks for (microseconds, half-open), and what it has seen."""

    start: int
    end: int
    pages: int = 0
    rows: int = 0
    oldest: int | None = None
    fields: set[str] = field(default_factory=set)

    @property
    def passed_start(self) -> bool:
        """Whether a row from before the window was seen: newest first, nothing of the window can follow."""
        return self.oldest is not None and self.oldest < self.start


@dataclass(frozen=True)
class TableClient:
    """Lists the rows of `table` of `source`; `values` are those of the connection's placeholders."""

    source: SourceSpec
    table: SourceTable
    values: Values
    limits: Limits
    gate: Gate = field(default_factory=Gate)

    def pages(self, listing: Listing) -> Iterator[pa.Table]:
        """Yield the rows of `listing` page by page, as columns; raises a SourceError."""
        table, endpoint = self.table, self.table.endpoint
        pager = self._paginator(listing)
        for page in self._client(listing).paginate(
            asking.path(table, self.values),
            params=asking.params(table, self.values, listing.start, listing.end),
            headers=filled(endpoint.headers, self.values),
            paginator=pager,
            data_selector="$",
            hooks={"response": []},
        ):
            rows = pa.concat_tables([_NO_ROWS.select([PAYLOAD]), *(part.select([PAYLOAD]) for part in page)])
            listing.pages += 1
            listing.rows += rows.num_rows
            for part in page:
                listing.oldest = _least(
                    listing.oldest, pc.min(part[TIME]).as_py() if TIME in part.column_names else None
                )
            if rows.num_rows:
                yield rows
            if table.window.reach and listing.passed_start:
                break

    def _client(self, listing: Listing) -> RESTClient:
        rest, event = self.source.rest, self.table.event_time
        base_url = filled(rest.base_url, self.values)
        timed = self.table.window.reach or self.table.endpoint.paginator.type == "newest_first"
        path = self.table.columns[event.column].path(event.column)
        fields = listing.fields if self.table.unknown_columns == "add" else None
        decode = PageDecoder(self.table.endpoint.data_selector, (path, event.unit) if timed else None, fields)
        auth: Any = asking.credential(self.source, self.values)
        return _ColumnClient(
            notices_loops=self.table.endpoint.paginator.type != "newest_first",
            base_url=base_url,
            headers=filled(rest.headers, self.values),
            auth=create_auth(auth) if auth else None,
            session=SourceSession(self.source.source, base_url, decode, self.limits, self.gate),
            config=RuntimeConfiguration(),
        )

    def _paginator(self, listing: Listing) -> BasePaginator:
        declared, event = self.table.endpoint.paginator, self.table.event_time
        if declared.type == "newest_first":
            page = self.table.page
            assert page
            walk = NewestFirst(listing.start, listing.end, page.size, _RESOLUTIONS[event.unit], page.most)
            return _NewestFirstPaginator(walk, self.table, self.values)
        options = declared.options
        if declared.type in {"offset", "page_number"}:
            options = {"total_path": None, **options}  # a total is found only where the spec says so
        declaration: Any = {"type": declared.type, **options}
        found = create_paginator(declaration)
        assert found
        return found


class _ColumnClient(RESTClient):
    """dlt's client for one listing; `notices_loops` unless its paginator does so itself."""

    def __init__(self, notices_loops: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self._notices_loops = notices_loops
        self._seen: set[bytes] = set()

    def _send_request(self, request: Request, **kwargs: Any) -> Response:
        response = super()._send_request(request, **kwargs)
        if not hasattr(response, "page"):
            raise SourceRefused(
                f"the answer with HTTP {response.status_code} leads nowhere", next_step="check the address"
            )
        return response

    def extract_response(self, response: Response, data_selector: Any) -> list[Any]:  # noqa: ARG002
        page: pa.Table = response.page  # type: ignore[attr-defined]
        if self._notices_loops and page.num_rows:
            digest = hashlib.blake2b(response.content, digest_size=16).digest()
            if digest in self._seen or len(self._seen) > _MOST_PAGES:
                raise PagingLoop(
                    f"page {len(self._seen) + 1} of {self.base_url} is the same as one before",
                    next_step="check endpoint.paginator in the spec; the source ignores how it is asked",
                )
            self._seen.add(digest)
        return [page] if page.num_rows else []


class _NewestFirstPaginator(BasePaginator):
    """Gives `NewestFirst` the shape of a dlt paginator."""

    def __init__(self, walk: NewestFirst, table: SourceTable, values: Values) -> None:
        super().__init__()
        self._walk, self._table, self._values = walk, table, values

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:  # noqa: ARG002
        assert data is not None
        data[:] = [self._walk.take(data[0] if data else _NO_ROWS)]
        self._has_next_page = self._walk.more

    def update_request(self, request: Request) -> None:
        assert self._table.page
        assert self._table.window.params
        values = {**self._values, **bounds(self._walk.start, self._walk.end)}
        request.params.update(placeholders.filled(self._table.window.params, values))
        request.params[self._table.page.param] = self._walk.size


def _least(first: int | None, second: int | None) -> int | None:
    return min((value for value in (first, second) if value is not None), default=None)
