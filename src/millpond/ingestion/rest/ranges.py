"""Paging by position: an offset that advances by the rows received, or the number of a page."""

from __future__ import annotations

from typing import Any

from requests import Request, Response

from millpond.errors import ListingIncomplete
from millpond.ingestion.rest.markers import as_count, envelope
from millpond.ingestion.rest.paginators import Gap, Pager, Probe, place_param, says_more, size_param
from millpond.ingestion.rest.tally import Tally
from millpond.ingestion.spec import SourceTable
from millpond.internals.dlt import jsonpath

BEYOND_THE_END = frozenset({400, 404, 410, 416, 422})
"""Statuses with which servers refuse a page after the last; they end a listing whose total is reached."""


class RangePager(Pager):
    """Asks for one page after the other until one is empty, or the source says that nothing follows.

    An empty page is the end if the page behind it is empty too, or refused. A declared total is no reason to
    stop, but has to be reached. A first page that holds fewer rows than
    were asked for may come from a source that caps its pages and skips the rest: the pages after it are then
    asked for at the size of the first. A source that refuses this size is asked for its usual one again.
    """

    def __init__(self, table: SourceTable, tally: Tally) -> None:
        super().__init__(table, tally)
        options = self.options
        self.by_offset = table.http.paginator.type == "offset"
        kind = "offset" if self.by_offset else "page"
        self.param = options.get(f"{kind}_param") or kind
        start = (
            options.get("offset", 0) if self.by_offset else options.get("page", options.get("base_page", 0))
        )
        self.start: int = 0 if start is None else start
        self.next, self.most = self.start, options.get(f"maximum_{kind}")
        self.total: int | None = None
        self._stopped_at_most, self.skipped = False, self.start if self.by_offset else 0
        self._smaller: int | None = None
        self._tries_smaller = self._refused_smaller = False
        self._probe = Probe(tally)

    @property
    def statuses(self) -> frozenset[int]:
        """Statuses besides the declared ones that the answer to the next request may have."""
        return BEYOND_THE_END if self.reached or self._tries_smaller or self._probe.asked else frozenset()

    @property
    def size(self) -> int | None:
        """How many rows a page is asked to hold, if the spec says so."""
        limit = self.options.get("limit")
        return self._smaller or (int(limit) if self.by_offset and limit else super().size)

    @property
    def reached(self) -> bool:
        """Whether as many rows (or pages) were received as the source says there are."""
        if self.total is None:
            return False
        if self.by_offset:
            return self.tally.fresh + self.skipped >= self.total
        return self.total in {self.tally.fresh, len(self.tally.sizes)}

    def init_request(self, request: Request) -> None:
        """Ask for the first page."""
        if request.params is None:
            request.params = {}
        self.update_request(request)

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Go on by the rows of the page that `response` is."""
        rows = data[0].num_rows if data else 0
        self.probed = self._probe.asked
        tried, self._tries_smaller, self.dropped = self._tries_smaller, False, False
        if getattr(response, "no_more", False):
            if tried and response.status_code not in self.table.http.no_more:
                self._smaller, self._refused_smaller, self.dropped = None, True, True
                return
            self._has_next_page, self.ends_by_itself = False, True
            return
        if self.probed:
            self._has_next_page = False
            self._probe.check(data)
            return
        self._note_total(response)
        more = says_more(response, self.options.get("has_more_path"))
        self.ends_by_itself = more is False
        if not rows or more is False:
            if more is True and not self.reached:
                raise ListingIncomplete(
                    "an empty page, and the source says that there is more",
                    next_step="repeat it; if it persists, correct has_more_path in endpoint.paginator, or its"
                    " parameters: the source may not take them",
                )
            self._has_next_page = self._probe.asked = more is None and not self.reached
            if self._has_next_page:
                self._advance(self.size or self.tally.largest or 1)
            return
        self._try_smaller(rows)
        self._advance(rows)

    def _advance(self, rows: int) -> None:
        """Go on behind a page of `rows` rows, unless the spec ends the listing there."""
        self.next += rows if self.by_offset else 1
        if self.most is not None and self.next >= self.most:
            self._has_next_page, self._stopped_at_most = False, not self._probe.asked

    def update_request(self, request: Request) -> None:
        """Ask for the next page."""
        place_param(request, self.options, "offset" if self.by_offset else "page", self.param, self.next)
        if self.by_offset:
            param = self.options.get("limit_param") or "limit"
            place_param(request, self.options, "limit", param, self.options.get("limit"))
        elif found := size_param(self.table):
            bodies = [body for body in (request.json, request.data) if isinstance(body, dict)]
            holder = next((body for body in bodies if found[0] in body), request.params)
            holder[found[0]] = self._smaller or found[1]

    def gap(self) -> Gap | None:
        """Return why the listing may lack rows: a total not reached, an end set by the spec, uneven pages."""
        if self.total is not None and not self.reached:
            pages, path = len(self.tally.sizes), self.options["total_path"]
            said = f"it has {self.total} rows" if self.by_offset else f"{self.total} at {path}"
            return Gap(
                f"the source says {said}, and {self.tally.fresh} rows"
                f" in {pages} page{'s' * (pages != 1)} were received",
                f"repeat it; if it persists, see whether {path} counts what was asked for; if it counts"
                " something else, remove total_path from endpoint.paginator and add"
                f" {path} to endpoint.not_markers",
            )
        if self._stopped_at_most and not self.reached:
            option = "maximum_offset" if self.by_offset else "maximum_page"
            return Gap(
                f"{option} ended the listing before the source did", f"raise or remove {option} in the spec"
            )
        sizes = self.tally.sizes
        if self._refused_smaller and len(sizes) > 1 and self.total is None:
            return Gap(
                f"the first page holds {sizes[0]} of {self.size} rows asked for, and the source refuses pages"
                " of that size, so some may have been skipped",
                "lower page.size in the spec to what the source serves at a time",
            )
        if not self.by_offset and self.total is None and (len({*sizes[:-1]}) > 1 or sizes[-1:] > sizes[:1]):
            return Gap(
                f"pages hold {min(sizes[:-1])} to {max(sizes)} rows, so some may have been skipped",
                "page by offset or cursor, or declare total_path, if the source has them",
            )
        return None

    def _try_smaller(self, rows: int) -> None:
        asked = self.size
        if self.by_offset or self.tally.sizes or asked is None or rows >= asked:
            return
        self._smaller, self._tries_smaller = rows, True

    def _note_total(self, response: Response) -> None:
        path = self.options.get("total_path")
        if not path or self.total is not None:
            return
        values = jsonpath.find_values(jsonpath.compile_path(path), envelope(response))
        said = values[0] if values else None
        self.total = as_count(said)
        if self.total is None:
            found = "is not found in an answer" if said is None else f"says {str(said)[:40]!r}, not a number"
            raise ListingIncomplete(
                f"total_path: {path} {found}", next_step="correct total_path in endpoint.paginator"
            )
