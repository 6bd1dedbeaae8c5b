"""The demo source speaks the real protocols over a recording that never changes."""

import datetime as dt
import time
from typing import Any

import pytest
import requests

from millpond.runtime.demo_source import DEMO_USER, ensure_demo_source
from millpond.settings import settings

DAY = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def url() -> str:
    return ensure_demo_source(settings())


def ms(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)


def entries(url: str, start: int, end: int, count: int = 1000) -> list[dict[str, Any]]:
    found = {"count": count, "find[date][$gte]": start, "find[date][$lt]": end}
    answer = requests.get(f"{url}/api/v1/entries.json", params=found, timeout=10)
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.json()
    return rows


def test_a_past_day_shows_the_same_entries_whenever_it_is_asked_for(url: str) -> None:
    start = ms(dt.date(2026, 11, 1))
    assert entries(url, start, start + DAY) == entries(url, start, start + DAY)


def test_a_recorded_week_comes_again_after_the_whole_recording(url: str) -> None:
    start, period = ms(dt.date(2024, 1, 1)), 28 * 7 * DAY
    first = [row.get("sgv") for row in entries(url, start, start + DAY)]
    again = [row.get("sgv") for row in entries(url, start + period, start + period + DAY)]
    assert first == again
    assert len(first) > 200


def test_entries_come_newest_first_ten_unless_asked_and_never_from_the_future(url: str) -> None:
    now = int(time.time() * 1000)
    answer = requests.get(f"{url}/api/v1/entries.json", timeout=10).json()
    dates = [row["date"] for row in answer]
    assert len(answer) == 10
    assert dates == sorted(dates, reverse=True)
    assert dates[0] <= now + 1000
    assert entries(url, now + DAY, now + 2 * DAY) == []


@pytest.mark.parametrize("path", ["/api/v1/entries.json", f"/users/{DEMO_USER}/events"])
def test_who_knows_the_answer_by_its_etag_is_told_that_nothing_changed(url: str, path: str) -> None:
    past = {"find[date][$lt]": ms(dt.date(2026, 11, 1))}
    known = requests.get(f"{url}{path}", params=past, timeout=10).headers["ETag"]
    answer = requests.get(f"{url}{path}", params=past, headers={"If-None-Match": known}, timeout=10)
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", known)
    other = requests.get(f"{url}{path}", params=past, headers={"If-None-Match": '"other"'}, timeout=10)
    assert other.status_code == 200


def test_a_day_is_served_whole_by_moving_the_upper_bound_down(url: str) -> None:
    start = ms(dt.date(2026, 11, 1))
    whole = {row["_id"] for row in entries(url, start, start + DAY)}
    seen: set[str] = set()
    end = start + DAY
    while page := entries(url, start, end, count=50):
        seen |= {row["_id"] for row in page}
        oldest: int = page[-1]["date"]
        end = oldest if len(page) == 50 else start
        if end == start:
            break
    assert seen == whole


def test_the_demo_makes_up_every_flaw_that_real_uploads_have(url: str) -> None:
    start = ms(dt.date(2026, 10, 1))
    rows = [r for d in range(30) for r in entries(url, start + d * DAY, start + (d + 1) * DAY)]
    ids = [r["_id"] for r in rows]
    assert {"sgv", "mbg", "cal"} == {r["type"] for r in rows}
    assert len(ids) > len(set(ids))
    assert any(r["type"] == "sgv" and not isinstance(r["sgv"], int) for r in rows)


def test_a_malformed_query_is_refused_with_400(url: str) -> None:
    answer = requests.get(f"{url}/api/v1/entries.json", params={"find[date][$gte]": "x"}, timeout=10)
    assert answer.status_code == 400


def test_events_are_paged_by_link_header_to_three_hundred_at_most(url: str) -> None:
    address: str | None = f"{url}/users/{DEMO_USER}/events?per_page=100"
    pages = []
    while address:
        answer = requests.get(address, timeout=10)
        pages.append(answer.json())
        address = answer.links.get("next", {}).get("url")
    events = [event for page in pages for event in page]
    moments = [event["created_at"] for event in events]
    assert 100 < len(events) <= 300
    assert len({event["id"] for event in events}) == len(events)
    assert moments == sorted(moments, reverse=True)


def test_an_unchanged_listing_is_304_to_its_etag(url: str) -> None:
    address = f"{url}/users/{DEMO_USER}/events?per_page=30&page=2"
    first = requests.get(address, timeout=10)
    again = requests.get(address, headers={"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"), [("users/octocat/events", 404), (f"users/{DEMO_USER}/events?page=11", 422)]
)
def test_unknown_accounts_and_pages_are_refused(url: str, path: str, status: int) -> None:
    assert requests.get(f"{url}/{path}", timeout=10).status_code == status
