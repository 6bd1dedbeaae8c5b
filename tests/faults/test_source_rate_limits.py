"""A source that limits requests is waited for up to the limit of the settings, and no longer."""

from __future__ import annotations

import datetime as dt
import time
from email.utils import format_datetime

import pytest
from failing_source import failure, load_rows

from fake_source import Answer, FakeSource
from millpond.errors import (
    SourceLimited,
)


class TestRateLimits:
    def test_retry_after_in_seconds_is_waited_for(self, server: FakeSource) -> None:
        server.script.append(Answer(b"", 429, {"Retry-After": "1"}))
        began = time.monotonic()
        load_rows()
        assert time.monotonic() - began >= 1

    def test_retry_after_as_a_date_is_waited_for_by_the_clock_of_the_source(self, server: FakeSource) -> None:
        theirs = dt.datetime(2031, 5, 1, tzinfo=dt.UTC)  # a source whose clock is years ahead
        later = format_datetime(theirs + dt.timedelta(seconds=1), usegmt=True)
        server.script.append(
            Answer(b"", 503, {"Retry-After": later, "Date": format_datetime(theirs, usegmt=True)})
        )
        began = time.monotonic()
        load_rows()
        assert time.monotonic() - began >= 1

    @pytest.mark.parametrize(
        "header",
        [
            {"Retry-After": "86400"},
            {"Retry-After": format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), usegmt=True)},
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3600)},
        ],
    )
    @pytest.mark.parametrize("status", [429, 403])
    def test_a_wait_beyond_the_limit_fails_at_once_naming_header_and_time(
        self, server: FakeSource, header: dict[str, str], status: int
    ) -> None:
        server.serve = lambda _: Answer(b"", status, header)
        began = time.monotonic()
        error = failure()
        assert isinstance(error, SourceLimited)
        name = "Retry-After" if "Retry-After" in header else "X-RateLimit-Reset"
        assert f"{name}: {header[name]}" in error.what
        assert "MILLPOND_RATE_LIMIT_WAIT_SECONDS" in error.next_step
        assert len(server.requests) == 1
        assert time.monotonic() - began < 10

    def test_waits_that_add_up_beyond_the_limit_end(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(b"", 429, {"Retry-After": "1"})
        assert isinstance(failure(), SourceLimited)
        assert len(server.requests) == 3

    @pytest.mark.parametrize("value", ["0", "-5", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
    def test_a_useless_retry_after_means_the_usual_backoff(self, server: FakeSource, value: str) -> None:
        server.script.append(Answer(b"", 429, {"Retry-After": value}))
        load_rows()
