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
_DEEP: Final = 5


@dataclass
class Markers:
    """What one answer says, each with the name of the field or header that says it."""

    next: list[tuple[str, str]] = field(default_factory=list)
    """With the paginator that would follow it."""
    more: list[str] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    """Whether it says in so many words that nothing follows."""


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
        elif _TOTAL_HEADER.fullmatch(plain) and value.strip().isdigit():
            found.total[name] = int(value)
        elif _PAGES_HEADER.fullmatch(plain) and value.strip().isdigit():
            found.pages[name] = int(value)
        elif plain == "contentrange" and (total := value.rpartition("/")[2].strip()).isdigit():
            found.total[name] = int(total)


def _from_node(node: Any, way: list[str], ignored: Collection[str], found: Markers) -> None:
    for name, said in _fields(node, way, _DEEP):
        counted = isinstance(said, Mapping) and said.get("relation", "eq") == "eq"
        value = said.get("value", said) if counted else said
        plain = _plain(name.rpartition(".")[2])
        if name in ignored or name.rpartition(".")[2] in ignored:
            continue
        if plain in _NEXT and _leads_on(value):
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
        elif type(value) is int or (isinstance(value, str) and value.isdigit()):
            if plain in _TOTAL:
                found.total[name] = int(value)
            elif plain in _PAGES:
                found.pages[name] = int(value)


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


def _leads_on(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(value.get(name) for name in ("href", "url", "after", "cursor", "token"))
    return isinstance(value, str | int) and bool(value) and value is not True


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
