"""When a listing counts as complete: the rules that hold for all paginators (docs/completeness.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from requests import Response

from millpond.errors import ListingIncomplete
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.markers import Markers, find_markers
from millpond.ingestion.rest.outside import check_filter
from millpond.ingestion.rest.paginators import LINK_OPTIONS, Gap, Pager
from millpond.ingestion.rest.tally import Tally
from millpond.ingestion.spec import SourceTable


@dataclass
class Answers:
    """The answers of a listing whose words about it are heard at its end."""

    first: Response | None = None
    with_rows: Response | None = None
    """The latest one that holds rows."""
    last: Response | None = None

    def take(self, answer: Response) -> None:
        """Note one more answer."""
        self.first, self.last = self.first or answer, answer
        if answer.page.num_rows:  # type: ignore[attr-defined]
            self.with_rows = answer


def check_complete(
    table: SourceTable, listing: Listing, pager: Pager, tally: Tally, answers: Answers
) -> None:
    """Raise FilterIgnored or ListingIncomplete unless `listing`, its pages all read, has all its rows."""
    check_filter(table, listing)
    if table.window.reach and listing.order.is_another:
        raise ListingIncomplete(
            "its rows are not listed newest first, as window.reach needs it",
            next_step="let the source sort by the time of its rows, newest first, or ask for windows by"
            " window.params in place of window.reach",
        )
    if not listing.ended:
        return
    if table.http.paginator.type == "newest_first":
        if gap := _find_unlisted(table, answers.last):
            raise ListingIncomplete(f"the listing may lack rows: {gap.reason}", next_step=gap.next_step)
        return
    gap = pager.gap()
    if gap is None or gap.full_page:
        gap = _find_unfollowed(table, pager, tally, answers) or gap
    if gap and gap.full_page and table.window.reach:
        listing.ended = False  # which costs only the days that older rows would have shown to be whole
    elif gap:
        raise ListingIncomplete(f"the listing may lack rows: {gap.reason}", next_step=gap.next_step)


def _find_unlisted(table: SourceTable, last: Response | None) -> Gap | None:
    """Return what the last answer of a walk, asked for all that was left, says of rows it does not hold."""
    if last is None:
        return None
    endpoint = table.http
    found = find_markers(last, endpoint.data_selector, endpoint.not_markers)
    rows: int = last.page.num_rows  # type: ignore[attr-defined]
    more = dict.fromkeys(found.more, "says that more rows follow")
    more |= {name: "leads to further rows" for name, _ in found.next}
    more |= {name: _advise(left) for name, left in found.left.items() if left}
    more |= {name: f"says {pages} pages" for name, pages in found.pages.items() if pages > 1}
    short = {name: total for name, total in {**found.counted, **found.total}.items() if total > rows}
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


def _find_unfollowed(table: SourceTable, pager: Pager, tally: Tally, answers: Answers) -> Gap | None:
    kind = table.http.paginator.type
    found = _describe(table, answers, tally.rows + pager.skipped)
    reason, name, paginator = "", "", ""
    if found.more:
        name = found.more[0]
        reason = f"{name} says that more pages follow, which {kind} does not ask for"
    elif found.next and not pager.ends_by_itself:
        name, paginator = found.next[0]
        reason = f"{name} leads to a next page, which {kind} does not follow"
    else:
        name, reason = _count_left(found, tally, pager.skipped)
        if not reason:
            name, reason = _find_unreached(found, tally, pager.skipped)
        if not reason and found.cursors and kind == "single_page" and tally.rows not in found.total.values():
            name, paginator = found.cursors[0], "cursor"
            reason = f"{name} may lead to a next page, which {kind} does not follow"
    full_page = False
    followed = kind != "single_page" and (kind != "header_link" or getattr(pager, "found", False))
    if not reason and not followed and not table.http.single_object:
        for name, size in found.size.items():
            if full_page := 0 < size == tally.last:
                reason = f"{name} says that a page holds {size} rows, and the last one holds {tally.last}"
                break
    if not reason:
        return None
    unless = f"if {name} means something else, add it to endpoint.not_markers"
    return Gap(reason, f"{_to_follow(kind, name, paginator)}; {unless}", full_page)


def _describe(table: SourceTable, answers: Answers, rows: int) -> Markers:
    """Return what the last answer says, with the totals above the `rows` received that earlier ones said."""
    endpoint, last = table.http, answers.last
    found = Markers()
    if last is not None and not getattr(last, "no_more", False):
        found = find_markers(last, endpoint.data_selector, endpoint.not_markers)
    for answer in dict.fromkeys((answers.first, answers.with_rows)):
        if answer is not None and answer is not last:
            before = find_markers(answer, endpoint.data_selector, endpoint.not_markers)
            # A total that is not above the rows received may be that page's own.
            found.total |= {name: total for name, total in before.total.items() if total > rows}
            if answer is answers.first:
                held = answer.page.num_rows  # type: ignore[attr-defined]
                rows_left = {name: left for name, left in before.left.items() if "page" not in name.lower()}
                found.promised |= {name: left + held for name, left in rows_left.items() if left}
            found.at_least |= before.at_least
            found.counted |= before.counted
            found.pages |= before.pages
    return found


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


def _count_left(found: Markers, tally: Tally, skipped: int) -> tuple[str, str]:
    """Return a number of rows still to come, by name, and the reason; blank if there is none."""
    for name, left in found.left.items():
        if left:
            return name, f"{name} {_advise(left)}"
    for name, total in found.promised.items():
        if total > tally.rows + skipped:
            return (
                name,
                f"by {name} of the first answer there are {total} rows, and {tally.rows} were received",
            )
    return "", ""


def _find_unreached(found: Markers, tally: Tally, skipped: int) -> tuple[str, str]:
    """Return a total that the rows received do not reach, by name, and the reason; blank if there is none.

    What is called a total may count pages: one between the pages and the rows received fits neither.
    """
    pages = max(len(tally.sizes), 1)
    for name, total in found.total.items():
        if total > tally.fresh + skipped or pages < total < min(tally.distinct, tally.fresh) + skipped:
            return name, f"{name} says {total}, and {tally.fresh} rows in {_pages(pages)} were received"
    for name, total in found.counted.items():
        if total > tally.rows + skipped:
            return name, f"{name} says {total}, and {tally.rows} rows in {_pages(pages)} were received"
    for name, total in found.at_least.items():
        if total >= tally.fresh + skipped:
            said = f"{name} says {total} or more"
            return name, f"{said}, and {tally.fresh} rows in {_pages(pages)} were received"
    for name, total in found.pages.items():
        if total > pages:
            return name, f"{name} says {total} pages, and {_pages(pages)} came"
    return "", ""


def _advise(left: int) -> str:
    return f"says that {left} more follow"


def _pages(number: int) -> str:
    return f"{number} page{'s' * (number != 1)}"
