"""What an answer says about rows that it does not hold: next pages, more to come, totals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from requests import Response
from requests.utils import parse_header_links

_NEXT: Final = re.compile(
    r"(odata)?next(page|result|record|item|batch|set|row|request|starting)?s?"
    r"(url|uri|link|href|cursor|token|offset|marker|key|start|skip|id|number|params|query|path|index)?"
    r"|cursor|continu(e|ation)(token|key)?|pagetoken|lastevaluatedkey|exclusivestartkey"
)
_EVERY_PAGES: Final = re.compile(r"scrollid|after|(end|after|next)?cursor(after|next)?")
"""Cursors that many sources give on every page, also the last: a sign only where nothing follows them."""
_MORE: Final = re.compile(
    r"(is|has|are|there(is|are))?(more|next|truncated|incomplete)"
    r"(pages?|results?|items?|records?|rows?|data|entries|documents|available|(items|results)incollection)?"
    r"|(results?|data|response|list|output)(is|was)?(truncated|incomplete)"
)
_CUT: Final = re.compile(r"(has|is)?(exceeded\w*limit|\w*limit(is|was)?(exceeded|reached))")
"""By yes: rows were cut off. By no it says nothing of the end."""
_LAST: Final = re.compile(
    r"(is)?(last|lastpage|final|finalpage|done|complete|completed|finished|exhausted)"
    r"|(is)?endof(records|results|list|data|pages|collection)"
)
_LAST_NUMBER: Final = frozenset(["last", "lastpage", "final", "finalpage"])
"""Which may be the number of a page or a link as well."""
_THINGS: Final = r"(results?|items?|rows?|entries|records?|hits|elements|docs|documents|objects|matches)"
_TOTAL: Final = re.compile(
    rf"(odata|grand|overall|full|{_THINGS})?total(number)?(of)?(size|count|found|available|{_THINGS}(count)?)?"
    rf"|(odatacount|numfound|{_THINGS}filtered|num(ber)?of{_THINGS})"
)
_COUNTED: Final = re.compile(
    rf"count|{_THINGS}count|num{_THINGS}|nb{_THINGS}|(number)?matched|(number)?found|available(count)?"
)
"""Which may count a page, or all rows: only more than there are say something."""
_LEFT: Final = re.compile(
    rf"(has|is)?(num(ber)?(of)?)?(pages?|{_THINGS})?"
    r"(are|still)*(remaining|left(over)?|more|omitted|outstanding|pending|missing|dropped|tofollow|tocome"
    r"|not(shown|listed|included|returned))"
    rf"(num(ber)?)?(of)?(pages?|{_THINGS})?(count|number|total)?"
)
"""How many are still to come."""
_LEFT_ALONE: Final = re.compile(r"(outstanding|pending|missing|dropped)(count|number|total)?")
"""Which speak of rows only if they name them."""
_OF_ROWS: Final = re.compile(rf"pages?|{_THINGS}")
_QUOTA: Final = re.compile(
    r"\w*quota\w*|\w*ratelimit\w*|reset(s|at|in|time|after)?|used|(api)?(credits|calls)\w*|retryafter"
)
"""Fields next to which what remains are requests."""
_PAGES: Final = re.compile(
    r"(total|num|numberof|totalnumberof|max)?pages(total|count)?|(total)?pagecount|lastpage"
)
INSIDE: Final = re.compile(
    r"(response)?meta(data|info)?|(page|paging|pagination|paginator|pager|pageable)(info|data|details|meta|metadata)?"
    r"|links|cursors?|results?|resultset|resultinfo|data|response|info|hits|additional(data)?|navigation"
)
"""Objects in which answers say how they came about."""
_LINKS: Final = re.compile(r"links?")
_HEADER: Final = re.compile(
    r"(x)?(xms|ms)?((pagination|paging|page)?next(page|cursor|token|link|url|offset|key|id)?"
    r"|continuation(token)?|cursor|hasmore)"
)
_TOTAL_HEADER: Final = re.compile(rf"(x)?(wp|pagination|paging)?total(count|{_THINGS})?")
_PAGES_HEADER: Final = re.compile(r"(x)?(wp|pagination|paging)?((total|num)pages|(total)?pagecount)")
_JSON_HEADER: Final = re.compile(r"(x)?(pagination|paging)")
_RANGE: Final = re.compile(r"[\w-]*\s*\d+-\d+/(\d+)")
_PARTIAL: Final = 206
_SIZE: Final = frozenset(
    ["limit", "perpage", "pagesize", "pagelimit", "itemsperpage", "maxresults", "xperpage"]
)
_COUNT: Final = re.compile(r"([0-9]{1,3}(?:[,.'_ \u00a0\u202f][0-9]{3})+|[0-9]+)(?:\.0*)?(\+)?")
_STEP: Final = re.compile(
    r"""\.?(?:([^\s.'"\[\]*?|&:,`()]+)|'([^']*)'|"([^"]*)"|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\])"""
)
_DEEP: Final = 5
_LONGEST: Final = 30
"""Characters of a number of rows; what is longer is none."""


@dataclass
class Markers:
    """What one answer says, each with the name of the field or header that says it."""

    next: list[tuple[str, str]] = field(default_factory=list)
    """With the paginator that would follow it."""
    cursors: list[str] = field(default_factory=list)
    """Names of cursors that many sources give on their last page too."""
    more: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    """How many are still to come after this answer."""
    promised: dict[str, int] = field(default_factory=dict)
    """Rows of the first answer and those that it said were still to come."""
    counted: dict[str, int] = field(default_factory=dict)
    """Counts of rows, of the page or of all."""
    total: dict[str, int] = field(default_factory=dict)
    at_least: dict[str, int] = field(default_factory=dict)
    """Totals of which it says that there may be more."""
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
    return int(re.sub(r"[^0-9]", "", found[1])) if found and len(found[1]) < _LONGEST else None


def envelope(response: Response) -> Any:
    """Return the answer's body as JSON, None if it is none."""
    try:
        return orjson.loads(response.content)
    except ValueError:
        try:
            return response.json()
        except ValueError:
            return None


def link_relations(response: Response) -> dict[str, str]:
    """Return the addresses of the `Link` header by relation, in small letters; a link may have several."""
    found: dict[str, str] = {}
    for link in parse_header_links(response.headers.get("Link", "")):
        for name, value in link.items():
            if name.lower() == "rel":
                found |= {each: link["url"] for each in value.lower().split() if each not in found}
    return found


def as_truth(value: Any) -> bool | None:
    """Return whether `value` says yes or no, as bool, number or text; None if it says neither."""
    said = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    return True if said in {"true", "1", "yes", "y"} else False if said in {"false", "0", "no", "n"} else None


def way_to(selector: str) -> list[str]:
    """Return the names that lead to the rows at `selector`, as far as it names a single place."""
    way, rest = [], selector.removeprefix("$")
    while step := _STEP.match(rest):
        way.append(next(filter(None, step.groups()), ""))
        rest = rest[step.end() :]
    return way


def find_markers(response: Response, selector: str, ignored: Collection[str]) -> Markers:
    """Return what `response` says besides its rows, which are at `selector`; not in the fields `ignored`."""
    found = Markers()
    _from_headers(response, ignored, found)
    whole = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if (
        response.status_code == _PARTIAL
        and not (whole and as_count(whole[1]))
        and "Content-Range" not in ignored
    ):
        found.more.append("HTTP 206")
    if selector != "$":
        quotas = set()
        for name, said in _fields(envelope(response), way_to(selector), _DEEP):
            where, _, last = name.rpartition(".")
            if name not in ignored and last not in ignored:
                _take(name, said, found)
            if _QUOTA.fullmatch(_plain(last)):
                quotas.add(where)
        for name in list(found.left):
            where, _, last = name.rpartition(".")
            if not _OF_ROWS.search(_plain(last)) and (found.ended or where in quotas):
                del found.left[name]
    if found.ended:
        found.cursors.clear()
        if not found.more:
            found.next.clear()
    return found


def _from_headers(response: Response, ignored: Collection[str], found: Markers) -> None:
    if link_relations(response).get("next") and "Link" not in ignored:
        found.next.append(("Link: rel=next", "header_link"))
    for name, value in response.headers.items():
        if name in ignored or not value.strip():
            continue
        plain = _plain(name)
        if _HEADER.fullmatch(plain) and value.strip().lower() not in {"0", "null", "none", "false", "no"}:
            found.next.append((name, "header_cursor"))
        elif _LEFT.fullmatch(plain.removeprefix("x")) and _OF_ROWS.search(plain):
            _note(found, "left", name, value)
        elif _TOTAL_HEADER.fullmatch(plain):
            _note(found, "total", name, value)
        elif _PAGES_HEADER.fullmatch(plain):
            _note(found, "pages", name, value)
        elif plain in _SIZE:
            _note(found, "size", name, value)
        elif plain == "contentrange":
            _note(found, "total", name, value.rpartition("/")[2])
        elif _JSON_HEADER.fullmatch(plain):
            with suppress(ValueError):
                for inner, said in _fields(orjson.loads(value), [], _DEEP):
                    _take(f"{name}: {inner}", said, found)


def _take(name: str, said: Any, found: Markers) -> None:
    """Note what the field `name`, which holds `said`, says of rows that the answer does not hold."""
    value = said.get("value", said) if isinstance(said, Mapping) else said
    plain, truth = _plain(re.split(r"[.:]", name)[-1]), as_truth(value)
    if paginator := _paginator(plain, value):
        found.next.append((f"{name}: next" if isinstance(value, list) else name, paginator))
    elif _MORE.fullmatch(plain) and truth is not None and (plain != "next" or isinstance(value, bool)):
        found.more += [name] if truth else []
        found.ended |= not truth and plain != "next"
    elif _CUT.fullmatch(plain):
        found.more += [name] if truth else []
    elif _MORE.fullmatch(plain) or (_LEFT.fullmatch(plain) and not _LEFT_ALONE.fullmatch(plain)):
        if truth and as_count(value) is None:
            found.more.append(name)
        _note(found, "left", name, value)
    elif _LAST.fullmatch(plain) and truth is not None and (plain not in _LAST_NUMBER or _is_bool(value)):
        found.more += [] if truth else [name]
        found.ended |= truth
    elif _EVERY_PAGES.fullmatch(plain):
        found.cursors += [name] if _leads_on(value) else []
    elif _TOTAL.fullmatch(plain):
        open_end = isinstance(said, Mapping) and said.get("relation", "eq") != "eq"
        open_end |= isinstance(value, str) and value.strip().endswith("+")
        _note(found, "at_least" if open_end else "total", name, value)
    elif _PAGES.fullmatch(plain):
        _note(found, "pages", name, value)
    elif plain in _SIZE:
        _note(found, "size", name, value)
    elif _COUNTED.fullmatch(plain):
        _note(found, "counted", name, value)


def _paginator(plain: str, value: Any) -> str:
    """Return the paginator that follows what a field of this name holds; blank if that is no next page."""
    if _LINKS.fullmatch(plain) and isinstance(value, list):
        return "json_link" if any(map(_is_next_link, value)) else ""
    if plain == "offset":
        return "cursor" if isinstance(value, str) and value and not value.isdecimal() else ""
    if not _NEXT.fullmatch(plain) or not _leads_on(value):
        return ""
    link = isinstance(value, Mapping) or str(value).startswith(("http://", "https://", "/", "?"))
    return "json_link" if link else "cursor"


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(value).strip().lower() in {"true", "false"}


def _is_next_link(link: Any) -> bool:
    if not isinstance(link, Mapping):
        return False
    relation = str(link.get("rel") or link.get("relation") or "").lower().split()
    return "next" in relation and bool(link.get("href") or link.get("url") or link.get("uri"))


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
        if on_the_way or INSIDE.fullmatch(_plain(name)):
            yield from _fields(value, way[1:] if on_the_way else [], depth - 1, f"{path}{name}.")


def _leads_on(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_leads_on(each) for each in value.values())
    return bool(value) and isinstance(value, str | int | list) and value is not True


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
