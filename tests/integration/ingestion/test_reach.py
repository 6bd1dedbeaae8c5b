"""A listing without dates: days within its reach are loaded whole, days beyond it keep what they had."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fake_source import Events, FakeSource, event, rows_as_json
from millpond.errors import BeyondReach, PagingLoop, SourceRefused
from millpond.ingestion.load import load as load_window
from millpond.ingestion.results import LoadResult
from millpond.ingestion.window import Reach
from millpond.partitions import Window
from source_tables import load_days, raw, table_of

pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.date(2024, 3, 1)  # after a leap day
MIDNIGHT = dt.datetime.combine(TODAY, dt.time(), dt.UTC)


def day(ago: int) -> dt.date:
    return TODAY - dt.timedelta(ago)


NOMINAL = table_of("market_events")[1].window.model_copy(update={"reach": Reach(rows=300, days=90)})
"""A reach that is declared to go further back than the source does."""


def events(days: int, a_day: int) -> list[dict[str, Any]]:
    """Return `a_day` events for each of the last `days` complete days."""
    return [
        event(1000 * ago + n, MIDNIGHT - dt.timedelta(ago) + dt.timedelta(minutes=n))
        for ago in range(1, days + 1)
        for n in range(a_day)
    ]


def load(first: int, last: int, **changes: Any) -> LoadResult:
    """Load the days from `first` to `last` days ago."""
    return load_days(day(first), day(last), "market_events", **changes)


def stored(column: str) -> list[Any]:
    return raw(column, table="raw.market_events", key="id")


def test_a_day_is_loaded_typed_and_details_stay_the_json_they_were(server: FakeSource) -> None:
    server.serve = Events(events(1, 1), server.url)
    load(1, 1)
    (row,) = raw(table="raw.market_events", key="id")
    assert (row["product_id"], row["product_name"]) == (2, "tomatoes")
    assert row["payload"] == '{"lines":[{"piece":"a"},{"piece":"b"}],"size":1.1}'
    assert row["created_at"] == MIDNIGHT - dt.timedelta(1)
    assert row["public"] is True


def test_pages_are_followed_until_a_whole_one_lies_before_the_window(server: FakeSource) -> None:
    server.serve = Events(events(30, 8), server.url)
    assert [p.rows_loaded for p in load(5, 5).partitions] == [8]
    assert [r.query.get("page", "1") for r in server.requests] == ["1", "2"]
    assert [p.rows_loaded for p in load(20, 1).partitions] == [8] * 20
    assert [r.query.get("page", "1") for r in server.requests[2:]] == ["1", "2", "3"]


def test_the_token_goes_into_the_header_and_only_there(server: FakeSource, configure: Any) -> None:
    configure(market_token="s3cr3t-of-the-test")
    server.serve = Events(events(1, 1), server.url)
    load(1, 1)
    assert server.requests[0].headers["authorization"] == "Bearer s3cr3t-of-the-test"
    assert "s3cr3t" not in str(server.requests[0].query)
    assert server.requests[0].path == "/shops/corner/events"


def test_days_cut_off_by_the_limit_of_rows_are_beyond_reach_and_keep_their_rows(server: FakeSource) -> None:
    everything = events(40, 10)
    server.serve = Events([e for e in everything if int(e["id"]) >= 29_000], server.url)
    load(40, 29)
    before = len(stored("id"))
    server.serve = Events(everything, server.url)
    result = load(40, 25)
    assert sorted(result.failed) == [day(ago) for ago in range(40, 29, -1)]
    assert {type(error) for error in result.failed.values()} == {BeyondReach}
    assert [p.partition for p in result.partitions] == [day(ago) for ago in range(29, 24, -1)]
    assert [p.rows_loaded for p in result.partitions] == [10] * 5
    assert len(stored("id")) == before + 4 * 10


def test_the_day_at_the_edge_is_whole_only_if_an_older_row_was_seen(server: FakeSource) -> None:
    server.serve = Events(events(30, 10), server.url)  # 300 rows: all of the thirtieth day, nothing older
    result = load(30, 29)
    assert sorted(result.failed) == [day(30)]
    error = result.failed[day(30)]
    assert f"dlt_market_events, {day(30)}: beyond the source's reach" in error.what
    assert "its newest 300 rows" in error.what
    assert "while they were within reach" in error.unharmed


def test_a_young_account_has_empty_days_before_its_first_event(server: FakeSource) -> None:
    server.serve = Events(events(3, 2), server.url)
    result = load(10, 1)
    assert not result.failed
    assert [p.rows_loaded for p in result.partitions] == [0] * 7 + [2] * 3


def test_an_account_without_events_has_empty_days_within_the_limit_of_days(server: FakeSource) -> None:
    result = load(32, 20)
    assert sorted(result.failed) == [day(32), day(31), day(30)]
    assert "no further back than 30 days" in result.failed[day(31)].what
    assert len(result.partitions) == 10


def test_a_listing_that_moves_between_two_pages_doubles_nothing(server: FakeSource) -> None:
    listing = Events(events(20, 10), server.url)
    new = event(1, dt.datetime.now(dt.UTC))

    def moving(request: Any) -> Any:
        answer = listing(request)
        if "page" not in request.query:
            listing.rows.append(new)
        return answer

    server.serve = moving
    result = load(15, 1)
    assert [p.rows_loaded for p in result.partitions] == [10] * 15
    assert sum(p.duplicates_dropped for p in result.partitions) == 1


def test_a_next_link_that_leads_to_the_same_page_is_a_loop(server: FakeSource) -> None:
    listing = Events(events(20, 10), server.url)

    def stuck(request: Any) -> Any:
        answer = listing(type(request)(request.path, {"per_page": "100"}, {}))
        answer.headers["Link"] = f'<{server.url}{request.path}?per_page=100&page=2>; rel="next"'
        return answer

    server.serve = stuck
    assert {type(e) for e in load(20, 1).failed.values()} == {PagingLoop}
    assert len(server.requests) == 2


def test_a_next_link_to_another_server_is_not_followed(server: FakeSource) -> None:
    listing = Events(events(20, 10), "http://127.0.0.1:9")
    server.serve = listing
    (error,) = set(load(20, 1).failed.values())
    assert isinstance(error, SourceRefused)
    assert "127.0.0.1:9" in error.what


def test_days_that_the_source_no_longer_serves_stay_whatever_reach_the_spec_names(server: FakeSource) -> None:
    everything = events(60, 2)
    server.serve = Events(everything, server.url)
    load(60, 1, window=NOMINAL)
    server.serve = Events([e for e in everything if int(e["id"]) < 31_000], server.url)
    result = load(60, 1, window=NOMINAL)
    assert set(result.failed) >= {day(ago) for ago in range(31, 61)}
    assert {type(error) for error in result.failed.values()} == {BeyondReach}
    assert len(stored("id")) == 120


def test_pairs_in_reverse_and_a_row_of_1970_neither_end_a_listing_nor_empty_a_day(server: FakeSource) -> None:
    listed = sorted(events(20, 6), key=lambda e: e["created_at"], reverse=True)
    odd = event(1, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    for place in range(10, 120, 8):
        listed[place], listed[place - 4] = listed[place - 4], listed[place]
    listed.insert(20, odd)
    server.serve = Listed(listed, server.url)
    result = load(12, 1)
    assert [p.rows_loaded for p in result.partitions] == [6] * 12


class Listed(Events):
    """Events in the order they are given."""

    def __call__(self, request: Any) -> Any:
        size, page = 10, int(request.query.get("page", 1))
        answer = rows_as_json(self.rows[(page - 1) * size : page * size])
        if page * size < len(self.rows):
            answer.headers["Link"] = (
                f'<{self.base}{request.path}?per_page={size}&page={page + 1}>; rel="next"'
            )
        return answer


def test_days_that_only_the_declared_reach_covers_never_lose_rows(server: FakeSource) -> None:
    everything = events(40, 3)
    server.serve = Events(everything, server.url)
    assert not load(40, 1, window=NOMINAL).failed
    server.serve = Events(
        [e for e in everything if int(e["id"]) < 31_000], server.url
    )  # 30 days, fewer than declared
    result = load(40, 1, window=NOMINAL)
    assert sorted(result.failed) == [day(ago) for ago in range(40, 30, -1)]
    assert {type(error) for error in result.failed.values()} == {BeyondReach}
    assert len(stored("id")) == 120
    source, table = table_of("market_events")
    table = table.model_copy(update={"window": NOMINAL})
    again = load_window(source, table, Window.of_day(day(35)), ref="main", run_id="test", accept_shrink=True)
    assert sorted(again.failed) == [day(35)]
    assert "--accept-shrink is not for such days" in again.failed[day(35)].what
    assert len(stored("id")) == 120
