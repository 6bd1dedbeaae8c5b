"""When a listing counts as complete: the rules that hold for all paginators (docs/completeness.md)."""

from __future__ import annotations

import re

from requests import Response

from millpond.errors import FilterIgnored, ListingIncomplete
from millpond.ingestion.listing import Listing
from millpond.ingestion.markers import Markers, find_markers
from millpond.ingestion.paginators import LINK_OPTIONS, Gap, Pager
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.tally import Tally


def check_complete(
    table: SourceTable, listing: Listing, pager: Pager, tally: Tally, last: Response | None
) -> None:
    """Raise FilterIgnored or ListingIncomplete unless `listing`, its pages all read, has all its rows."""
    if table.window.params and 2 * listing.outside > listing.timed:
        raise FilterIgnored(
            f"{listing.outside} of {listing.timed} rows lie outside of the time asked for,"
            " so the source does not filter by it",
            next_step="check window.params in the spec: their names, and the form of time the source expects",
        )
    if table.window.reach and listing.order.is_another:
        raise ListingIncomplete(
            "its rows are not listed newest first, as window.reach needs it",
            next_step="let the source sort by the time of its rows, newest first, or ask for windows by"
            " window.params in place of window.reach",
        )
    if not listing.ended:
        return
    if table.endpoint.paginator.type == "newest_first":
        if gap := _unlisted(table, last):
            raise ListingIncomplete(f"the listing may lack rows: {gap.reason}", next_step=gap.next_step)
        return
    gap = pager.gap()
    if gap is None or gap.full_page:
        gap = _unfollowed(table, pager, tally, last) or gap
    if gap and gap.full_page and table.window.reach:
        listing.ended = False  # which costs only the days that older rows would have shown to be whole
    elif gap:
        raise ListingIncomplete(f"the listing may lack rows: {gap.reason}", next_step=gap.next_step)


def _unlisted(table: SourceTable, last: Response | None) -> Gap | None:
    """Return what the last answer of a walk, asked for all that was left, says of rows it does not hold."""
    if last is None:
        return None
    endpoint = table.endpoint
    found = find_markers(last, endpoint.data_selector, endpoint.not_markers)
    rows: int = last.page.num_rows  # type: ignore[attr-defined]
    more = dict.fromkeys(found.more, "says that more rows follow")
    totals = {**found.count, **found.total}
    short = {name: total for name, total in totals.items() if total > rows}
    more |= {
        name: f"says that there are {total} or more, and it holds {rows} rows"
        for name, total in found.at_least.items()
        if total >= rows
    }
    more |= {name: f"says {total}, and it holds {rows} rows" for name, total in short.items()}
    for name, said in more.items():
        return Gap(
            f"{name} of the last answer {said}",
            "set page.size in the spec to what the source serves at a time, or another endpoint.paginator;"
            f" if {name} means something else, add it to endpoint.not_markers",
        )
    return None


def _unfollowed(table: SourceTable, pager: Pager, tally: Tally, last: Response | None) -> Gap | None:
    if last is None or getattr(last, "no_more", False):
        return None
    kind = table.endpoint.paginator.type
    found = find_markers(last, table.endpoint.data_selector, table.endpoint.not_markers)
    reason, name, paginator = "", "", ""
    if found.more:
        name = found.more[0]
        reason = f"{name} says that more pages follow, which {kind} does not ask for"
    elif found.next and not pager.ends_by_itself:
        name, paginator = found.next[0]
        reason = f"{name} leads to a next page, which {kind} does not follow"
    else:
        name, reason = _unreached(found, tally, pager.skipped)
    full_page = False
    followed = kind != "single_page" and (kind != "header_link" or getattr(pager, "found", False))
    if not reason and not followed and not table.endpoint.single_object:
        for name, size in found.size.items():
            if full_page := 0 < size == tally.last:
                reason = f"{name} says that a page holds {size} rows, and the last one holds {tally.last}"
                break
    if not reason:
        return None
    unless = f"if {name} means something else, add it to endpoint.not_markers"
    return Gap(reason, f"{_to_follow(kind, name, paginator)}; {unless}", full_page)


def _to_follow(kind: str, name: str, paginator: str) -> str:
    """Return how to get at the rows that follow by a paginator of `kind`, by another if `name` needs it."""
    where = ""
    if paginator in LINK_OPTIONS and ":" not in name:
        plain = paginator == "header_cursor" or re.fullmatch(r"[\w.]+", name)
        where = f"{LINK_OPTIONS[paginator][0]}: " + (name if plain else f"\"'{name}'\"")
    if paginator == kind and where:
        return f"set {where} in endpoint.paginator"
    if paginator or kind == "single_page":
        shown = ", ".join(filter(None, [f"type: {paginator or 'cursor'}", where]))
        other = "" if paginator else " or { type: page_number }"
        return f"set endpoint.paginator in the spec, for example {{ {shown} }}{other}"
    return "repeat it; if it persists, ask for smaller pages, or see how else the source can be paged"


def _unreached(found: Markers, tally: Tally, skipped: int) -> tuple[str, str]:
    """Return a total that the rows received do not reach, by name, and the reason; blank if there is none.

    What is called a total may count pages: one between the pages and the rows received fits neither.
    """
    pages = max(len(tally.sizes), 1)
    for name, total in found.total.items():
        if total > tally.fresh + skipped or pages < total < min(tally.distinct, tally.fresh) + skipped:
            return name, f"{name} says {total}, and {tally.fresh} rows in {_pages(pages)} were received"
    for name, total in found.at_least.items():
        if total >= tally.fresh + skipped:
            said = f"{name} says {total} or more"
            return name, f"{said}, and {tally.fresh} rows in {_pages(pages)} were received"
    for name, total in found.count.items():
        if total > tally.fresh + skipped:
            return name, f"{name} says {total}, and {tally.fresh} rows in {_pages(pages)} were received"
    for name, total in found.pages.items():
        if total > pages:
            return name, f"{name} says {total} pages, and {_pages(pages)} came"
    return "", ""


def _pages(number: int) -> str:
    return f"{number} page{'s' * (number != 1)}"
