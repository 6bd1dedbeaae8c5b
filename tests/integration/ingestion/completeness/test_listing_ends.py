"""The last page is the last by a stated rule of its paginator, or the load fails and says why."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request
from listings import HOUR, ITEMS, OFFSET, PAGE, START, answer, failure, paged, read, row, rows, spec
from millpond.errors import ListingIncomplete, PagingLoop


@pytest.mark.parametrize("paginator", [None, {"type": "header_link"}])
def test_a_full_page_without_a_next_one_fails(server: FakeSource, paginator: Any) -> None:
    server.serve = lambda _: answer(rows(100))
    assert "a full page of 100 rows" in failure(spec(paginator, **PAGE), server.url).what


@pytest.mark.parametrize(
    "paginator",
    [
        {"type": "cursor", "cursor_path": "nxt"},
        {"type": "json_link", "next_url_path": "nxt"},
        {"type": "cursor", "cursor_path": "id", "has_more_path": "more_to_come"},
        {**OFFSET, "total_path": "number"},
        {**OFFSET, "has_more_path": "number"},
    ],
)
def test_a_path_that_is_found_on_no_page_fails_by_name(server: FakeSource, paginator: Any) -> None:
    server.serve = lambda _: answer({"items": rows(100)})
    error = failure(spec(paginator, **ITEMS), server.url)
    assert any(str(path) in error.what for name, path in paginator.items() if name.endswith("path"))
    assert "not found in" in error.what or "found on no page" in error.what


@pytest.mark.parametrize("last", ["", False, None])
@pytest.mark.parametrize(
    ("paginator", "second"),
    [({"type": "json_link"}, "?page=2"), ({"type": "cursor", "cursor_path": "next"}, "2")],
)
def test_an_empty_next_is_the_end(server: FakeSource, paginator: Any, second: str, last: Any) -> None:
    listed = rows(20)
    first = answer({"items": listed[:10], "next": second})
    server.script.extend([first, answer({"items": listed[10:], "next": last})])
    assert len(read(spec(paginator, **ITEMS), server.url)[0]) == 20


def _stamped(request: Request, listed: list[Any]) -> Answer:
    stamp = len(request.query.get("t", "")) + 1
    return answer({"items": listed, "next": f"/rows?t={'x' * stamp}"})


@pytest.mark.parametrize("serve", ["stamped", "shuffled", "last", "empty", "cursor"])
def test_a_loop_ends_within_a_few_requests(server: FakeSource, serve: str) -> None:
    listed, paginator = rows(40), {"type": "json_link"}
    if serve == "stamped":
        server.serve = lambda r: _stamped(r, listed)
    elif serve == "shuffled":
        server.serve = lambda r: _stamped(r, random.Random(len(server.requests)).sample(listed, 40))
    elif serve == "last":
        paginator = {"type": "page_number"}
        server.serve = lambda r: answer({"items": listed[min(int(r.query["page"]), 3) * 10 :][:10]})
    elif serve == "empty":
        server.serve = lambda r: _stamped(r, [])
    else:
        paginator = {"type": "cursor", "cursor_path": "next"}
        server.serve = lambda r: answer(
            {"items": rows(40 * len(server.requests))[:40], "next": "ab"[len(server.requests) % 2]}
        )
    assert isinstance(failure(spec(paginator, **ITEMS), server.url), PagingLoop)
    assert len(server.requests) <= 7


@pytest.mark.parametrize("hole", [0, 30, 60])
@pytest.mark.parametrize("paginator", [{"type": "offset", "limit": 30}, {"type": "page_number"}])
def test_an_empty_page_is_the_end_only_if_nothing_lies_behind_it(
    server: FakeSource, paginator: dict[str, Any], hole: int
) -> None:
    page = {} if paginator["type"] == "offset" else {"page": {"param": "limit", "size": 30}}
    declared, listed = spec(paginator, **page), rows(110)
    place = {"type": "offset", "offset": str(hole)} if not page else {"page": str(hole // 30)}
    server.serve = lambda r: answer(
        [] if place.items() <= {**r.query, **paginator}.items() else paged(listed, r, 30)
    )
    error = failure(declared, server.url)
    assert "is empty, and the one behind it holds rows" in error.what
    assert "paginator" not in error.next_step


@pytest.mark.parametrize("behind", [200, 404, 400])
def test_a_look_behind_the_end_may_be_refused_and_hides_no_total(server: FakeSource, behind: int) -> None:
    listed, said = rows(60), {"total_count": 60}

    def serve(request: Request) -> Answer:
        start = int(request.query["offset"])
        refused = start > 60 and behind >= 400
        return Answer(b"no", behind) if refused else answer({"items": listed[start:][:30], **said})

    server.serve = serve
    assert len(read(spec({"type": "offset", "limit": 30}, **ITEMS), server.url)[0]) == 60
    said["total_count"] = 90
    error = failure(spec({"type": "offset", "limit": 30}, **ITEMS), server.url)
    assert "total_count says 90, and 60 rows in 2 pages were received" in error.what


@pytest.mark.parametrize("behind", [10, 0])
def test_an_empty_page_ends_cursors_only_if_the_next_one_is_empty_too(
    server: FakeSource, behind: int
) -> None:
    listed = rows(30)
    pages = {"0": ("a", listed[:20]), "a": ("b", []), "b": ("c", listed[20 : 20 + behind]), "c": ("c", [])}

    def serve(request: Request) -> Answer:
        following, page = pages[request.query.get("cursor", "0")]
        return answer({"items": page, "next": following})

    server.serve = serve
    declared = spec({"type": "cursor", "cursor_path": "next", "stop_after_empty_page": True}, **ITEMS)
    if behind:
        assert "the one behind it holds rows" in failure(declared, server.url).what
    else:
        assert len(read(declared, server.url)[0]) == 20


def test_a_last_page_that_the_link_header_names_has_to_be_read(server: FakeSource) -> None:
    listed, link = rows(120), {"next": True}

    def serve(request: Request) -> Answer:
        page = int(request.query.get("page", "1"))
        relations = {
            "first": 1,
            "last": 3,
            **({"next": page + 1} if page < 3 and (page < 2 or link["next"]) else {}),
        }
        links = [f'<{server.url}/rows?page={number}>; rel="{name}"' for name, number in relations.items()]
        return answer(listed[(page - 1) * 40 :][:40], Link=", ".join(links))

    server.serve = serve
    assert len(read(spec({"type": "header_link"}), server.url)[0]) == 120
    link["next"] = False
    assert (
        "a last one (rel=last) that was not read" in failure(spec({"type": "header_link"}), server.url).what
    )
    ignored = spec({"type": "header_link"}, endpoint={"not_markers": ["Link"]})
    assert len(read(ignored, server.url)[0]) == 80
    server.serve = lambda _: answer(listed[:40], Link=f'<{server.url}/rows?page=3>; rel="last"')
    assert "rel=last" in failure(spec(), server.url).what
    server.serve = lambda _: answer(listed[:40], Link=f'<{server.url}/rows?page=1>; rel="last"')
    assert len(read(spec(), server.url)[0]) == 40


def test_pages_that_overlap_and_rows_that_come_in_are_no_loop(server: FakeSource) -> None:
    listed = rows(100)

    def overlapping(request: Request) -> Answer:
        start = int(request.query.get("cursor", 0))
        following = str(start + 9) if start + 10 < len(listed) else None
        return answer({"items": listed[start : start + 10], "next": following})

    server.serve = overlapping
    found, _ = read(spec({"type": "cursor", "cursor_path": "next"}, **ITEMS), server.url)
    assert sorted(set(found)) == list(range(100))

    def growing(request: Request) -> Answer:
        page = paged(listed, request, cap=30)
        if len(listed) == 103:
            return answer(page)
        listed.insert(0, row(len(listed), START + len(listed) * HOUR // 6))
        return answer(page)

    server.serve = growing
    assert set(read(spec(OFFSET), server.url)[0]) >= set(range(100))


def test_rows_in_another_order_on_each_page_fail(server: FakeSource) -> None:
    server.serve = lambda r: answer(paged(random.Random(str(r.query)).sample(rows(90), 90), r, cap=30))
    assert isinstance(failure(spec(OFFSET), server.url), ListingIncomplete | PagingLoop)


def test_a_declared_status_means_no_more_pages_but_never_no_rows(server: FakeSource) -> None:
    declared = spec({"type": "page_number"}, endpoint={"no_more": [404]})
    server.serve = lambda r: (
        answer(page) if (page := rows(20)[int(r.query["page"]) * 10 :][:10]) else Answer(b"no", 404)
    )
    assert len(read(declared, server.url)[0]) == 20
    assert "HTTP 404" in failure(spec({"type": "page_number"}), server.url).what
    server.serve = lambda _: Answer(b"no", 404)
    assert "HTTP 404" in failure(declared, server.url).what
