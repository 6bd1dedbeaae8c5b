"""A source's declared client as dlt's REST client, whose pages are columns instead of lists of dicts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from dlt.sources.helpers.rest_client.client import RESTClient
from requests import Request, Response
from requests.auth import AuthBase

from millpond.errors import SourceRefused
from millpond.ingestion.rest import placeholders, source_request
from millpond.ingestion.rest.auth import create_auth
from millpond.ingestion.rest.completeness import Answers, check_complete
from millpond.ingestion.rest.http import SourceSession
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.newest_first import NewestFirst
from millpond.ingestion.rest.pages import KEY, PAYLOAD, TIME, PageDecoder
from millpond.ingestion.rest.paginators import LinkPager, Pager
from millpond.ingestion.rest.placeholders import Values, bounds, fill
from millpond.ingestion.rest.ranges import RangePager
from millpond.ingestion.rest.tally import Tally
from millpond.ingestion.retry import Gate, Limits
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.internals.dlt import RuntimeConfiguration

_NO_ROWS = pa.table(
    {
        PAYLOAD: pa.array([], pa.string()),
        TIME: pa.array([], pa.int64()),
        KEY: pa.array([], pa.int64()),
    }
)
_RESOLUTIONS = {"ms": 1_000, "s": 1_000_000, "iso": 1_000, "local": 1_000, "date": 1_000}


@dataclass(frozen=True)
class TableClient:
    """Lists the rows of `table` of `source`; `values` are those of the connection's placeholders.

    `zone` is the configured one, of the dates in requests.
    """

    source: SourceSpec
    table: SourceTable
    values: Values
    limits: Limits
    gate: Gate = field(default_factory=Gate)
    zone: dt.tzinfo = dt.UTC
    auth: AuthBase | None = None
    included: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the row of the parent, which each row gets."""

    def pages(self, listing: Listing, columns: Sequence[str] = (PAYLOAD,)) -> Iterator[pa.Table]:
        """Yield the rows of `listing` page by page, as columns; raises a SourceError.

        That the generator ends means that the listing is complete by the rules of its paginator.
        """
        table, tally = self.table, Tally()
        walks = table.http.paginator.type == "newest_first"
        pager = self._pager(listing, tally)
        client = self._client(listing)
        answers = Answers()
        for page in self._paginate(client, listing, pager):
            if not pager.probed:
                answers.take(page.response)
            if pager.dropped:
                client.accept(self._no_more(pager, tally))
                continue
            rows = page[0] if page else _NO_ROWS
            if not walks:
                tally.take(rows[KEY].to_numpy().tolist())
                client.accept(self._no_more(pager, tally))
            listing.take(rows[TIME], keeps_order=bool(table.window.reach))
            if rows.num_rows:
                yield rows.select(columns).replace_schema_metadata()
            if table.window.reach and listing.order.has_passed(listing.start):
                break
        else:
            listing.ended = True
        check_complete(table, listing, pager, tally, answers)
        if tally.repeats:
            tally.check_first(self._first_page(client, listing)[KEY].to_numpy().tolist())

    def _first_page(self, client: _ColumnClient, listing: Listing) -> pa.Table:
        """Return the first page of `listing`, asked for again."""
        client.accept(set())
        page = next(iter(self._paginate(client, listing, self._pager(listing, Tally()))), None)
        return page[0] if page else _NO_ROWS

    def _paginate(self, client: _ColumnClient, listing: Listing, pager: Pager) -> Iterator[Any]:
        span = listing.start, listing.end
        return client.paginate(
            **source_request.build_request(self.table, self.values, span, self.zone),
            paginator=pager,
            data_selector="$",
            hooks={"response": []},
        )

    def _no_more(self, pager: Pager, tally: Tally) -> set[int]:
        return {*(self.table.http.no_more if tally.sizes else ()), *pager.statuses}

    def _client(self, listing: Listing) -> _ColumnClient:
        rest, asked = self.source.http, self.table.asked_time
        base_url = fill(rest.base_url, self.values)
        fields = listing.fields if self.table.unknown_columns == "add" else None
        columns = self.table.columns
        key = tuple(columns[name].path(name) for name in self.table.key)
        time = (columns[asked.column].path(asked.column), asked.unit) if asked else None
        endpoint = self.table.http
        not_errors, single = tuple(endpoint.not_markers), endpoint.single_object
        decode = PageDecoder(
            endpoint.data_selector, time, fields, key, not_errors, single, self.zone, self.included
        )
        auth = self.auth or create_auth(self.source, self.values, self.limits, self.gate)
        return _ColumnClient(
            base_url=base_url,
            headers=fill(rest.headers, self.values),
            auth=auth,
            session=SourceSession(self.source.source, base_url, decode, self.limits, self.gate, endpoint),
            config=RuntimeConfiguration(),
        )

    def _pager(self, listing: Listing, tally: Tally) -> Pager:
        table, kind = self.table, self.table.http.paginator.type
        if kind == "newest_first":
            assert table.page
            assert table.asked_time
            step = _RESOLUTIONS[table.asked_time.unit]
            walk = NewestFirst(listing.start, listing.end, table.page.size, step, table.page.most)
            return _NewestFirstPager(walk, table, tally, self.values)
        if kind in {"offset", "page_number"}:
            return RangePager(table, tally)
        return Pager(table, tally) if kind == "single_page" else LinkPager(table, tally)


class _ColumnClient(RESTClient):
    """dlt's client, whose answers carry a decoded page."""

    def accept(self, statuses: set[int]) -> None:
        """From now on take an answer with one of these `statuses` for "no more pages"."""
        self.session.no_more.clear()  # type: ignore[attr-defined]
        self.session.no_more.update(statuses)  # type: ignore[attr-defined]

    def _send_request(self, request: Request, **kwargs: Any) -> Response:
        response = super()._send_request(request, **kwargs)
        if not hasattr(response, "page"):
            if response.status_code in self.session.no_more:  # type: ignore[attr-defined]
                response.page, response.no_more = _NO_ROWS, True  # type: ignore[attr-defined]
                return response
            raise SourceRefused(
                f"the answer with HTTP {response.status_code} leads nowhere", next_step="check the address"
            )
        return response

    def extract_response(self, response: Response, data_selector: Any) -> list[Any]:  # noqa: ARG002
        page: pa.Table = response.page  # type: ignore[attr-defined]
        return [page] if page.num_rows else []


class _NewestFirstPager(Pager):
    """Gives `NewestFirst` the shape of a dlt paginator."""

    ends_by_itself = True

    def __init__(self, walk: NewestFirst, table: SourceTable, tally: Tally, values: Values) -> None:
        super().__init__(table, tally)
        self._walk, self._values = walk, values

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:  # noqa: ARG002
        assert data is not None
        data[:] = [self._walk.take(data[0] if data else _NO_ROWS)]
        self._has_next_page = self._walk.more

    def update_request(self, request: Request) -> None:
        assert self.table.page
        assert self.table.window.params
        values = {**self._values, **bounds(self._walk.start, self._walk.end)}
        request.params.update(placeholders.fill(self.table.window.params, values))
        request.params[self.table.page.param] = self._walk.size

    def gap(self) -> None:
        """Return None: the walk raises where it cannot go on."""
