"""How a REST source is paged: what its answers say, and what it does with the usual parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from millpond.ingestion.inspection.rest_answers import Answer, Client
from millpond.ingestion.rest.markers import find_markers
from millpond.ingestion.rest.paginators import LINK_OPTIONS

_SIZES: Final = ("limit", "per_page", "page_size", "pageSize", "count", "size")
_CURSORS: Final = ("cursor", "page_token", "pageToken", "next_token", "after", "starting_after", "continue")
_SIZE: Final = 100
_FEW: Final = 2


@dataclass(frozen=True)
class Paging:
    """The paginator and the page of a table, as a source says them, and what shows it."""

    paginator: Mapping[str, Any] | None = None
    page: Mapping[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def find_paging(client: Client, first: Answer) -> Paging:
    """Return how the rows after those of the `first` answer are requested."""
    if first.single_object:
        return Paging()
    size = _find_size(client, first)
    page = {"param": size, "size": _largest(client, first, size)} if size else None
    paginator = _from_markers(client, first) or _by_number(client, first, size)
    if paginator is None:
        return Paging(None, page, ["paging: none was found; all rows come in one answer"])
    total = _total_path(first)
    if total and paginator["type"] in {"offset", "page_number"}:
        paginator |= {"total_path": total}
    if paginator["type"] == "offset" and page:
        paginator |= {"limit": page["size"]} | ({"limit_param": size} if size != "limit" else {})
        page = None
    return Paging(paginator, page, [f"paging: {paginator['type']}"])


def _from_markers(client: Client, first: Answer) -> dict[str, Any] | None:
    found = find_markers(first.response, first.selector, ())
    for name, kind in found.next:
        if kind == "header_link":
            return {"type": kind}
        option, default = LINK_OPTIONS[kind]
        paginator = {"type": kind} | ({option: name} if name != default else {})
        if kind == "json_link":
            return paginator
        if param := _cursor_param(client, first, name, kind):
            return paginator | ({"cursor_param": param} if param != "cursor" else {})
    for name in found.cursors:
        if param := _cursor_param(client, first, name, "cursor"):
            return {"type": "cursor", "cursor_path": name} | (
                {"cursor_param": param} if param != "cursor" else {}
            )
    return None


def _cursor_param(client: Client, first: Answer, name: str, kind: str) -> str | None:
    value = first.response.headers.get(name) if kind == "header_cursor" else _at(first.response.json(), name)
    if value is None:
        return None
    for param in (*_CURSORS, name.rpartition(".")[2]):
        second = client.try_get(**{param: str(value)})
        if second and second.rows and not _same(second, first.rows):
            return param
    return None


def _find_size(client: Client, first: Answer) -> str | None:
    if len(first.rows) <= _FEW:
        return None
    for param in _SIZES:
        answer = client.try_get(**{param: str(_FEW)})
        if answer and len(answer.rows) == _FEW:
            return param
    return None


def _largest(client: Client, first: Answer, size: str) -> int:
    """Return the size of a page to request: 100, or as many rows as the source serves at most."""
    answer = client.try_get(**{size: str(_SIZE)})
    there = len(answer.rows) if answer else len(first.rows)
    more = answer and find_markers(answer.response, answer.selector, ())
    says_more = bool(more and (more.next or more.more or any(total > there for total in more.total.values())))
    return there if there and says_more else _SIZE


def _by_number(client: Client, first: Answer, size: str | None) -> dict[str, Any] | None:
    few = {size: str(_FEW)} if size else {}
    step = _FEW if size else len(first.rows)
    rows = first.rows[step : 2 * step] if size else None
    tests: tuple[tuple[dict[str, str], Callable[[], dict[str, Any]]], ...] = (
        ({"page": "2"}, lambda: {"type": "page_number", "base_page": 1}),
        ({"offset": str(step)}, lambda: {"type": "offset"}),
        ({"skip": str(step)}, lambda: {"type": "offset", "offset_param": "skip"}),
        ({"start": str(step)}, lambda: {"type": "offset", "offset_param": "start"}),
    )
    for params, paginator in tests:
        second = client.try_get(**few, **params)
        if second is None or not second.rows or _same(second, first.rows):
            continue
        if rows is None or second.rows[:1] == rows[:1]:
            return paginator()
        if "page" in params and second.rows[:1] == first.rows[2 * step : 2 * step + 1]:
            return {"type": "page_number"}
    return None


def _total_path(first: Answer) -> str | None:
    found = find_markers(first.response, first.selector, ())
    names = [name for name, total in found.total.items() if total >= len(first.rows)]
    return next((name for name in names if name not in first.response.headers), None)


def _same(answer: Answer, rows: list[dict[str, Any]]) -> bool:
    return answer.rows[:1] == rows[:1]


def _at(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document
