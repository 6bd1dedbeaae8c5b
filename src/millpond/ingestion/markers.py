"""What an answer says about rows that it does not hold: next pages, more to come, totals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from requests import Response

_NEXT: Final = frozenset(
    [
        "next",
        "nextpage",
        "nexturl",
        "nexturi",
        "nextlink",
        "nexthref",
        "odatanextlink",
        "nextcursor",
        "nextpagetoken",
        "nexttoken",
        "nextoffset",
        "nextpagecursor",
        "nextmarker",
        "continuationtoken",
        "cursor",
        "nextrecordsurl",
        "continue",
        "continuation",
        "scrollid",
    ]
)
_MORE: Final = frozenset(
    [
        "hasmore",
        "hasnext",
        "hasnextpage",
        "hasmoreitems",
        "morepages",
        "moreavailable",
        "more",
        "truncated",
        "istruncated",
        "incompleteresults",
    ]
)
_LAST: Final = frozenset(["last", "islast", "islastpage", "lastpage", "final", "done"])
_TOTAL: Final = frozenset(
    [
        "total",
        "totalcount",
        "totalresults",
        "totalitems",
        "totalrows",
        "totalentries",
        "totalrecords",
        "totalsize",
        "totalhits",
        "totalelements",
        "odatacount",
        "numfound",
        "recordstotal",
        "recordsfiltered",
    ]
)
_COUNTS: Final = frozenset(["count", "rowcount", "recordcount", "resultcount", "itemcount"])
"""Mostly rows of the page; more than were received in all are a total."""
_PAGES: Final = frozenset(["totalpages", "pagecount", "numpages", "lastpage", "pages"])
_INSIDE: Final = frozenset(
    [
        "meta",
        "metadata",
        "pagination",
        "paging",
        "page",
        "pageinfo",
        "links",
        "cursors",
        "responsemetadata",
        "result",
        "results",
        "data",
        "response",
        "paginator",
        "info",
        "hits",
        "resultinfo",
        "cursor",
    ]
)
_HEADER: Final = re.compile(
    r"(x|xms)?(next(page|cursor|token|link|url|offset)?|continuation(token)?|cursor|hasmore)"
)
_TOTAL_HEADER: Final = re.compile(r"(x)?(wp)?total(count|items|records|results)?")
_PAGES_HEADER: Final = re.compile(r"(x)?(wp)?totalpages")
_PARTIAL: Final = 206
_SIZE: Final = frozenset(
    ["limit", "perpage", "pagesize", "pagelimit", "itemsperpage", "maxresults", "xperpage"]
)
_COUNT: Final = re.compile(r"([0-9]{1,3}(?:[,.'_ \u00a0\u202f][0-9]{3})+|[0-9]+)(?:\.0*)?(\+)?")
_DEEP: Final = 5


@dataclass
class Markers:
    """What one answer says, each with the name of the field or header that says it."""

    next: list[tuple[str, str]] = field(default_factory=list)
    """With the paginator that would follow it."""
    more: list[str] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=dict)
    at_least: dict[str, int] = field(default_factory=dict)
    """Totals of which it says that there may be more."""
    count: dict[str, int] = field(default_factory=dict)
    """What counts rows, of the page or of all."""
    pages: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    """How many rows a page may hold."""
    ended: bool = False
    """Whether it says in so many words that nothing follows."""


def as_count(value: Any) -> int | None:
    """Return the number of rows or pages that `value` says, as number or text, perhaps with separators."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return int(value) if value >= 0 and value.is_integer() else None
    if isinstance(value, int):
        return value if value >= 0 else None
    found = _COUNT.fullmatch(value.strip())
    return int(re.sub(r"[^0-9]", "", found[1])) if found else None


def envelope(response: Response) -> Any:
    """Return the answer's body as JSON, None if it is none."""
    try:
        return orjson.loads(response.content)
    except ValueError:
        try:
            return response.json()
        except ValueError:
            return None


def find_markers(response: Response, selector: str, ignored: Collection[str]) -> Markers:
    """Return what `response` says besides its rows, which are at `selector`; not in the fields `ignored`."""
    found = Markers()
    _from_headers(response, ignored, found)
    if selector != "$":
        literal = re.split(r"[\[*]|\.\.", selector.removeprefix("$").removeprefix("."), maxsplit=1)[0]
        way = [part for part in literal.split(".") if part]
        _from_node(envelope(response), way, ignored, found)
    if found.ended and not found.more:
        found.next.clear()
    return found


def _from_headers(response: Response, ignored: Collection[str], found: Markers) -> None:
    if response.links.get("next", {}).get("url") and "Link" not in ignored:
        found.next.append(("Link: rel=next", "header_link"))
    if response.status_code == _PARTIAL and "Content-Range" not in response.headers:
        found.more.append("HTTP 206")
    for name, value in response.headers.items():
        if name in ignored or not value.strip():
            continue
        plain = _plain(name)
        if _HEADER.fullmatch(plain) and value.strip().lower() not in {"0", "null", "none", "false"}:
            found.next.append((name, "header_cursor"))
        elif _TOTAL_HEADER.fullmatch(plain):
            _note(found, "total", name, value)
        elif _PAGES_HEADER.fullmatch(plain):
            _note(found, "pages", name, value)
        elif plain in _SIZE:
            _note(found, "size", name, value)
        elif plain == "contentrange":
            _note(found, "total", name, value.rpartition("/")[2])


def _from_node(node: Any, way: list[str], ignored: Collection[str], found: Markers) -> None:
    for name, said in _fields(node, way, _DEEP):
        value = said.get("value", said) if isinstance(said, Mapping) else said
        open_end = isinstance(said, Mapping) and said.get("relation", "eq") != "eq"
        plain = _plain(name.rpartition(".")[2])
        if name in ignored or name.rpartition(".")[2] in ignored:
            continue
        if _names_next(plain, value):
            link = isinstance(value, Mapping) or str(value).startswith(("http://", "https://", "/", "?"))
            found.next.append((name, "json_link" if link else "cursor"))
        elif plain in _MORE and isinstance(value, bool | str):
            said = str(value).lower()
            if said == "true":
                found.more.append(name)
            found.ended |= said == "false"
        elif plain in _LAST and isinstance(value, bool):
            if not value:
                found.more.append(name)
            found.ended |= value
        elif plain in _TOTAL:
            open_end |= isinstance(value, str) and value.strip().endswith("+")
            _note(found, "at_least" if open_end else "total", name, value)
        elif plain in _COUNTS:
            _note(found, "count", name, value)
        elif plain in _PAGES:
            _note(found, "pages", name, value)
        elif plain in _SIZE:
            _note(found, "size", name, value)


def _note(found: Markers, kind: str, name: str, value: Any) -> None:
    count = as_count(value)
    if count is not None:
        getattr(found, kind)[name] = count


def _fields(node: Any, way: list[str], depth: int, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of `node`, of what usually holds such fields, and of what is on the `way`."""
    if not isinstance(node, Mapping) or not depth:
        return
    for name, value in node.items():
        yield path + name, value
        on_the_way = bool(way) and name == way[0]
        if on_the_way and len(way) == 1:
            continue  # the rows
        if on_the_way or _plain(name) in _INSIDE:
            yield from _fields(value, way[1:] if on_the_way else [], depth - 1, f"{path}{name}.")


def _names_next(name: str, value: Any) -> bool:
    """Return whether a field of this plain name holds the way to a next page."""
    if name == "offset":  # a number is where this page began
        return isinstance(value, str) and bool(value) and not value.isdecimal()
    if name == "lastevaluatedkey":
        return bool(value)
    return name in _NEXT and _leads_on(value)


def _leads_on(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(name) for name in ("href", "url", "after", "cursor", "token"))
    return isinstance(value, str | int) and bool(value) and value is not True


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
