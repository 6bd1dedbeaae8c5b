"""What an answer says about rows that it does not hold: next pages, links, more to come, totals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from requests import Response
from requests.utils import parse_header_links

from millpond.ingestion.rest.marker_words import (
    COUNT,
    COUNT_HEADERS,
    COUNTED,
    CUT,
    CUT_HEADER,
    EVERY_PAGES,
    HEADER,
    INSIDE,
    JSON_HEADER,
    LAST,
    LAST_NUMBER,
    LEFT,
    LEFT_ALONE,
    LINKS,
    MORE,
    NEXT,
    OF_ROWS,
    PAGES,
    QUOTA,
    RANGE,
    SIZE,
    TOTAL,
)

_VALUE: Final = r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;,"']+))"""
_PARAMETER: Final = re.compile(rf";\s*([^\s=;,<>\"]+)\s*=\s*{_VALUE}")
_LINK: Final = re.compile(rf"<([^<>]*)>((?:\s*;(?:\s*[^\s=;,<>\"]+(?:\s*=\s*{_VALUE})?)?)*)")
_NEXT: Final = re.compile(r"rel\b\W*[^<>;,]*\bnext\b", re.IGNORECASE)


def link_relations(response: Response) -> dict[str, str]:
    """Return the addresses of the `Link` header by relation, in small letters; a link may have several."""
    found: dict[str, str] = {}
    for address, relations in _links(response.headers.get("Link", "")):
        for each in relations.lower().split():
            found.setdefault(each.rpartition("/relation/")[2], address)
    return found


def hides_next(response: Response) -> bool:
    """Return whether the `Link` header speaks of a next page in a form that nobody can read."""
    text = response.headers.get("Link", "")
    return bool(_NEXT.search(text)) and not link_relations(response).get("next")


def _links(text: str) -> list[tuple[str, str]]:
    """Return each link's address and relations."""
    if "<" not in text:  # which servers leave out that nobody has read before
        links = parse_header_links(text)
        return [
            (each["url"], value) for each in links for name, value in each.items() if name.lower() == "rel"
        ]
    return [
        (link[1].strip(), next(filter(None, said[2:]), ""))
        for link in _LINK.finditer(text)
        for said in ([m[0], *m.groups()] for m in _PARAMETER.finditer(link[2]))
        if said[1].lower() == "rel"
    ]


_PARTIAL: Final = 206
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
    found = COUNT.fullmatch(value.strip())
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
    whole = RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
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
            if QUOTA.fullmatch(_plain(last)):
                quotas.add(where)
        for name in list(found.left):
            where, _, last = name.rpartition(".")
            if not OF_ROWS.search(_plain(last)) and (found.ended or where in quotas):
                del found.left[name]
    if found.ended:
        found.cursors.clear()
        if not found.more:
            found.next.clear()
    return found


def _from_headers(response: Response, ignored: Collection[str], found: Markers) -> None:
    if link_relations(response).get("next") and "Link" not in ignored:
        found.next.append(("Link: rel=next", "header_link"))
    elif hides_next(response) and "Link" not in ignored:
        found.more.append("Link")
    for name, value in response.headers.items():
        if name not in ignored and value.strip():
            _from_header(name, value, found)


def _from_header(name: str, value: str, found: Markers) -> None:
    plain = _plain(name)
    if HEADER.fullmatch(plain) and value.strip().lower() not in {"0", "null", "none", "false", "no"}:
        found.next.append((name, "header_cursor"))
    elif CUT_HEADER.fullmatch(plain) and as_truth(value):
        found.more.append(name)
    elif LEFT.fullmatch(plain.removeprefix("x")) and OF_ROWS.search(plain):
        _note(found, "left", name, value)
    elif plain == "contentrange":
        _note(found, "total", name, value.rpartition("/")[2])
    elif JSON_HEADER.fullmatch(plain):
        with suppress(ValueError):
            for inner, said in _fields(orjson.loads(value), [], _DEEP):
                _take(f"{name}: {inner}", said, found)
    elif kind := next((kind for kind, words in COUNT_HEADERS.items() if words.fullmatch(plain)), ""):
        _note(found, kind, name, value)


def _take(name: str, said: Any, found: Markers) -> None:
    """Note what the field `name`, which holds `said`, says of rows that the answer does not hold."""
    value = said.get("value", said) if isinstance(said, Mapping) else said
    plain, truth = _plain(re.split(r"[.:]", name)[-1]), as_truth(value)
    if paginator := _paginator(plain, value):
        found.next.append((f"{name}: next" if isinstance(value, list) else name, paginator))
    elif MORE.fullmatch(plain) and truth is not None and (plain != "next" or isinstance(value, bool)):
        found.more += [name] if truth else []
        found.ended |= not truth and plain != "next"
    elif CUT.fullmatch(plain):
        found.more += [name] if truth else []
    elif MORE.fullmatch(plain) or (LEFT.fullmatch(plain) and not LEFT_ALONE.fullmatch(plain)):
        if truth and as_count(value) is None:
            found.more.append(name)
        _note(found, "left", name, value)
    elif LAST.fullmatch(plain) and truth is not None and (plain not in LAST_NUMBER or _is_bool(value)):
        found.more += [] if truth else [name]
        found.ended |= truth
    elif EVERY_PAGES.fullmatch(plain):
        found.cursors += [name] if _leads_on(value) else []
    elif TOTAL.fullmatch(plain):
        open_end = isinstance(said, Mapping) and said.get("relation", "eq") != "eq"
        open_end |= isinstance(value, str) and value.strip().endswith("+")
        _note(found, "at_least" if open_end else "total", name, value)
    elif PAGES.fullmatch(plain):
        _note(found, "pages", name, value)
    elif plain in SIZE:
        _note(found, "size", name, value)
    elif COUNTED.fullmatch(plain):
        _note(found, "counted", name, value)


def _paginator(plain: str, value: Any) -> str:
    """Return the paginator that follows what a field of this name holds; blank if that is no next page."""
    if LINKS.fullmatch(plain) and isinstance(value, list):
        return "json_link" if any(map(_is_next_link, value)) else ""
    if plain == "offset":
        return "cursor" if isinstance(value, str) and value and not value.isdecimal() else ""
    if not NEXT.fullmatch(plain) or not _leads_on(value):
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
