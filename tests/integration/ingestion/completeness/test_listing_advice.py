"""A failed listing names the paginator, the parameter or the setting to change."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from fake_source import Answer, FakeSource, Request
from listings import HOUR, ITEMS, PAGE, START, answer, failure, read, row, rows, spec
from millpond.errors import FilterIgnored, ListingIncomplete, SourceRefused
from millpond.ingestion.rest.connection import Bearer, Rest


@pytest.mark.parametrize(
    ("answered", "paginator"),
    [
        (answer(rows(50), Link='<rows?page=2>; rel="next"'), "header_link"),
        (answer(rows(50), X_Next_Cursor="abc"), "header_cursor"),
        (answer({"items": rows(50), "next": "/rows?page=2"}), "json_link"),
        (answer({"items": rows(50), "meta": {"next_cursor": "abc"}}), "cursor"),
        (answer({"items": rows(50), "has_more": True}), "cursor"),
        (answer({"items": rows(50), "total": 130}), "cursor"),
        (answer({"items": rows(50), "total": "130"}), "cursor"),
        (answer({"items": rows(50), "total": 3}), "cursor"),
        (answer({"items": rows(50), "total_pages": 3}), "cursor"),
    ],
)
def test_a_next_page_that_nobody_follows_fails_with_a_paginator_to_use(
    server: FakeSource, answered: Answer, paginator: str
) -> None:
    server.serve = lambda _: answered
    error = failure(spec(**({} if answered.body.startswith(b"[") else ITEMS)), server.url)
    assert isinstance(error, ListingIncomplete)
    assert f"type: {paginator}" in error.next_step
    assert "not_markers" in error.next_step


@pytest.mark.parametrize(
    ("place", "declared"),
    [
        ("next", None),
        ("@odata.nextLink", None),
        ("meta.next_cursor", None),
        ("paging.next_url", {"type": "json_link", "missing_means_end": True}),
        ("next_page_token", {"type": "cursor", "cursor_path": "nextt", "missing_means_end": True}),
        ("X-Next-Cursor", None),
        ("X-Next-Cursor", {"type": "header_cursor", "missing_means_end": True}),
        ("Link", None),
    ],
)
def test_the_paginator_that_a_failure_advises_lists_all_rows(
    server: FakeSource, place: str, declared: dict[str, Any] | None
) -> None:
    listed = rows(130)

    def serve(request: Request) -> Answer:
        start = int(request.query.get("cursor", 0))
        following = start + 50 if start + 50 < 130 else None
        link, shown = f"/rows?cursor={following}", None if following is None else str(following)
        body: dict[str, Any] = {"items": listed[start : start + 50]}
        if place == "Link":
            return answer(body, **({"Link": f'<{link}>; rel="next"'} if shown else {}))
        if place.startswith("X-"):
            return answer(body, **({place: shown} if shown else {}))
        value = shown if shown is None or "cursor" in place or "token" in place else link
        outer, _, inner = place.partition(".") if place[0] != "@" else (place, "", "")
        return answer({**body, outer: {inner: value} if inner else value})

    server.serve = serve
    advice = failure(spec(declared, **ITEMS), server.url).next_step
    if found := re.search(r"\{ type: .*? \}", advice):
        advised = yaml.safe_load(found[0])
    else:
        assert declared is not None
        found = re.match(r"set (\w+: \S+) in endpoint.paginator", advice)
        assert found, advice
        advised = {**declared, **yaml.safe_load(found[1])}
    assert len(read(spec(advised, **ITEMS), server.url)[0]) == 130


@pytest.mark.parametrize("paginator", [None, {"type": "newest_first"}])
def test_a_source_that_ignores_the_filter_fails(server: FakeSource, paginator: Any) -> None:
    other_days = [row(n, START + (30 * 24 + n) * HOUR) for n in range(20)][::-1]
    server.serve = lambda _: answer([*other_days, *rows(3)])
    error = failure(spec(paginator, **(PAGE if paginator else {})), server.url)
    assert isinstance(error, FilterIgnored)
    assert "window.params" in error.next_step


def test_addresses_and_tokens_that_cannot_be_used_are_named(server: FakeSource) -> None:
    server.serve = lambda _: Answer(b"", 302, {"Location": "/rows"})
    assert "redirects lead in a circle" in failure(spec(), server.url).what
    for nowhere in ("http://[::bad/", "https://[1", "http://a..b/", f"http://{'x' * 300}/"):
        server.serve = lambda _, to=nowhere: Answer(b"", 302, {"Location": to})
        assert isinstance(error := failure(spec(), server.url), SourceRefused), nowhere
        assert error.unharmed
        assert error.next_step
    server.serve = lambda _: Answer(b"", 302, {"Location": "/rows"})
    assert "http:// or https://" in failure(spec(), server.url.removeprefix("http://")).next_step
    server.serve = lambda r: answer({"items": rows(3), "next": "localhost:1/rows"})
    error = failure(spec({"type": "json_link"}, **ITEMS), server.url)
    assert isinstance(error, SourceRefused)
    assert "does not start with http:// or https://" in error.what
    auth = Bearer(token="{token}")
    source = spec().model_copy(update={"rest": Rest(base_url="{url}", auth=auth)})
    error = failure(source, server.url, token="ключ-s3cr3t")
    assert "not latin-1" in error.what
    assert "s3cr3t" not in str(error)
    assert "MILLPOND_SHOP_TOKEN" in error.next_step
