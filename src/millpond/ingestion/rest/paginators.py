"""How the next page is asked for, and what shows that none is left: dlt's paginators, strict about both."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

from dlt.sources.helpers.rest_client.paginators import BasePaginator
from requests import Request, Response

from millpond.errors import ListingIncomplete, SourceError, SourceRefused
from millpond.ingestion.rest.markers import as_truth, envelope, link_relations
from millpond.ingestion.rest.pages import KEY, read_rest
from millpond.ingestion.rest.tally import Tally
from millpond.ingestion.spec import SourceTable
from millpond.internals.dlt import jsonpath
from millpond.redaction import redacted

_SIZES: Final = re.compile(r"(limit|per_?page|page_?size|count|size|\$?top|max_?results|first|rows)", re.I)
_HOST: Final = re.compile(r"[\w.-]+:\d+(/|$)")


LINK_OPTIONS: Final = {
    "header_link": ("links_next_key", "next"),
    "json_link": ("next_url_path", "next"),
    "header_cursor": ("cursor_key", "next"),
    "cursor": ("cursor_path", "cursors.next"),
}
"""The option of each paginator that says where its link or cursor is, and its default."""


@dataclass
class Gap:
    """Why a listing cannot be called complete, and what to do."""

    reason: str
    next_step: str
    full_page: bool = False


@dataclass
class Probe:
    """A look behind an empty page, which is the end only if no row follows that `tally` does not know."""

    tally: Tally
    asked: bool = False

    def check(self, data: list[Any] | None) -> None:
        """Raise ListingIncomplete if the page behind the empty one, its rows in `data`, holds new rows."""
        keys = data[0][KEY].to_numpy().tolist() if data else []
        if self.tally.new(keys):
            raise ListingIncomplete(
                f"page {self.tally.pages} is empty, and the one behind it holds rows, so some may be missing",
                next_step="repeat it; if it persists, see what the source serves there: it may go only so"
                " deep, or leave out what was deleted or may not be read",
            )


class Pager(BasePaginator):
    """A paginator of one listing; `dropped` says that the last answer is asked for again, differently."""

    dropped = False
    skipped = 0
    """Rows that the spec starts after."""
    probed = False
    """Whether the last answer was but a look behind the end."""
    ends_by_itself = False
    """Whether the end was said in so many words: further marks of a next page mean nothing then."""

    def __init__(self, table: SourceTable, tally: Tally) -> None:
        super().__init__()
        self.table, self.tally, self.options = table, tally, table.http.paginator.options

    @property
    def not_markers(self) -> tuple[str, ...]:
        """Fields and headers that mean nothing, whatever they are called."""
        return self.table.http.not_markers

    @property
    def statuses(self) -> frozenset[int]:
        """Statuses besides the declared ones that the answer to the next request may have."""
        return frozenset()

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:  # noqa: ARG002
        """End after this page; raises ListingIncomplete if it names a last page that is another one."""
        self._has_next_page = False
        if self.table.http.paginator.type == "single_page" and "Link" not in self.not_markers:
            check_last_link(response, set())

    def update_request(self, request: Request) -> None:
        """Leave the request as it is."""

    @property
    def size(self) -> int | None:
        """How many rows a page is asked to hold, if the spec says so."""
        found = size_param(self.table)
        return found[1] if found else None

    def gap(self) -> Gap | None:
        """Return why the listing that ended here may lack rows; None if it is complete as far as is known."""
        if self.size and self.tally.last >= self.size:
            kind = self.table.http.paginator.type
            follows = "no next page is declared" if kind == "single_page" else "no answer names a next one"
            other = "paginator" if kind == "single_page" else f"other paginator than {kind}"
            return Gap(
                f"a full page of {self.tally.last} rows, and {follows}",
                f"set the endpoint's {other} in the spec, or ask for larger pages (page.size)",
                full_page=True,
            )
        return None


class LinkPager(Pager):
    """Follows links or cursors, which each answer gives: header_link, json_link, header_cursor, cursor."""

    def __init__(self, table: SourceTable, tally: Tally) -> None:
        super().__init__(table, tally)
        self.kind, self.found, self._next = table.http.paginator.type, False, ""
        self._probe, self._followed, self._last = Probe(tally), set[str](), ""
        self.option, default = LINK_OPTIONS[self.kind]
        self.where = str(self.options.get(self.option) or default)
        self._path = jsonpath.compile_path(self.where) if self.kind in {"json_link", "cursor"} else None

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Take the reference to the next page from `response`; none, null, false and "" are the end."""
        if getattr(response, "no_more", False):
            self._has_next_page, self.ends_by_itself = False, True
            return
        value, more = self._reference(response), self._more(response)
        if isinstance(value, dict):
            value = value.get("href") or value.get("url")
        self._has_next_page = bool(value) and more is not False
        if self.options.get("stop_after_empty_page") and (self._probe.asked or not data):
            self._probe.check(data if self._probe.asked else None)
            known = not self._has_next_page or self.tally.led_to(str(value))
            self._has_next_page = not (known or self._probe.asked or more is True)
            self.ends_by_itself, self._probe.asked = more is not True, True
        elif more is True and not value:
            raise ListingIncomplete(
                f"{self.options['has_more_path']} says that there is more, and {self.where} leads nowhere",
                next_step=f"set {self.option} in endpoint.paginator to where the source names its next page",
            )
        self.ends_by_itself |= more is False
        if not self._has_next_page:
            if self.kind == "header_link" and "Link" not in self.not_markers:
                check_last_link(response, self._followed, self._last)
            return
        if isinstance(value, list) or (self.kind == "json_link" and not isinstance(value, str)):
            raise ListingIncomplete(
                f"what {self.where} holds is no link or cursor",
                next_step=f"set {self.option} in endpoint.paginator to where a single link or cursor is",
            )
        self._next = str(value)
        self._followed.add(self._next)
        self.tally.follow(self._next)

    def update_request(self, request: Request) -> None:
        """Ask for the next page."""
        if not self._has_next_page:
            return
        if "cursor" in self.kind:
            default = "cursor"
            place_param(
                request, self.options, "cursor", self.options.get("cursor_param") or default, self._next
            )
            return
        request.url = _absolute(str(request.url), self._next)
        request.params = {}

    def gap(self) -> Gap | None:
        """Return why the listing may lack rows: its link or cursor was never found."""
        tally, optional = self.tally, self.options.get("missing_means_end", False)
        if self.found or self.ends_by_itself or not tally.rows:
            return None
        full = super().gap()
        if self.kind == "header_link" or optional or (self.kind == "header_cursor" and self.size):
            return full
        return Gap(
            f"{self.where}, where the next page should be named, is found on no page",
            "correct it in endpoint.paginator; if the source leaves it out on its last page,"
            " add missing_means_end: true",
        )

    def _reference(self, response: Response) -> Any:
        if self.kind == "header_link":
            links = link_relations(response)
            self.found |= not links.keys().isdisjoint({self.where.lower(), "first", "prev", "last"})
            self._last = links.get("last") or self._last
            return links.get(self.where.lower())
        if self.kind == "header_cursor":
            self.found |= self.where in response.headers
            value = response.headers.get(self.where, "").strip()
            return None if value.lower() in {"null", "none", "false"} else value
        assert self._path is not None
        rest = read_rest(response.page, self.where, self.table.http.data_selector)  # type: ignore[attr-defined]
        values = jsonpath.find_values(self._path, rest or envelope(response))
        self.found |= bool(values)
        return values[0] if values else None

    def _more(self, response: Response) -> bool | None:
        return says_more(response, self.options.get("has_more_path"))


def place_param(request: Request, options: Mapping[str, Any], name: str, param: str, value: Any) -> None:
    """Set what the paginator asks by: the parameter `param`, or a field of the body (`<name>_body_path`)."""
    if not (path := options.get(f"{name}_body_path")):
        request.params[param] = value
        return
    *above, last = path.removeprefix("$.").split(".")
    body: Any = request.json
    for key in above:
        body = body.setdefault(key, {})
    body[last] = value


def size_param(table: SourceTable) -> tuple[str, int] | None:
    """Return the parameter that says how many rows a page is to hold, and how many; None if there is none."""
    if table.page:
        return table.page.param, table.page.size
    body, data = table.http.json, table.http.data
    given = {
        **(body if isinstance(body, dict) else {}),
        **(data if isinstance(data, dict) else {}),
        **table.http.params,
    }
    sizes = ((name, str(value)) for name, value in given.items() if _SIZES.fullmatch(name))
    return next(((name, int(value)) for name, value in sizes if value.isdecimal() and int(value)), None)


def says_more(response: Response, path: str | None) -> bool | None:
    """Return what the field at `path` says about more pages; raises ListingIncomplete if it says nothing."""
    if not path:
        return None
    values = jsonpath.find_values(jsonpath.compile_path(path), envelope(response))
    said = as_truth(values[0]) if values else None
    if said is not None:
        return said
    found = f"says {str(values[0])[:40]!r}, neither true nor false" if values else "is not found in an answer"
    raise ListingIncomplete(
        f"has_more_path: {path} {found}", next_step="correct has_more_path in endpoint.paginator"
    )


def check_last_link(response: Response, followed: Collection[str], earlier: str = "") -> None:
    """Raise ListingIncomplete if `response` has no next link, and the last page was not read.

    The last page is what it names, or else what an `earlier` answer named. It was read if it is this page,
    the first, or one of the links `followed`.
    """
    links = link_relations(response)
    last = links.get("last") or earlier
    if not last or links.get("next") or last in {*followed, links.get("first"), links.get("self")}:
        return
    here = _parameters(str(response.url))
    beyond = {name: value for name, value in _parameters(last).items() if here.get(name) != value}
    if all(value in {"", "0", "1"} for value in beyond.values()):
        return
    raise ListingIncomplete(
        "the Link header names no next page (rel=next), but a last one (rel=last) that was not read:"
        f" {redacted(last)[:120]}",
        next_step="repeat it; if it persists, page by page_number or offset in endpoint.paginator, if the"
        " source can; if rel=last means something else, add Link to endpoint.not_markers",
    )


def _parameters(url: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:
        return {}


def _absolute(base: str, link: str) -> str:
    here = urlsplit(base)
    first = link.split("/")[0]
    if not link.startswith(("/", "?", "#")) and (
        (_HOST.match(link) and "://" not in link) or first in {here.netloc, here.hostname}
    ):
        raise _bad_link(link)
    try:
        found = urljoin(base, link)
        parts = urlsplit(found)
    except ValueError:
        raise _bad_link(link) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _bad_link(link)
    return found


def _bad_link(link: str) -> SourceError:
    return SourceRefused(
        f"the next page's address {redacted(link)[:80]!r} does not start with http:// or https://",
        next_step="see what the source serves; page by a cursor or a number if its links cannot be used",
    )
