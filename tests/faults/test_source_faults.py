"""A source that fails, drips or loops: retries within a budget, a clear error, nothing half written."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from failing_source import CANARY, ROWS, failure, load_rows

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond.errors import (
    ConfigError,
    PagingLoop,
    SourceMalformed,
    SourceRefused,
    SourceUnreachable,
)
from millpond.settings import Settings, settings
from processes import exit_code
from source_tables import load_days, raw


class TestTroubleThatPasses:
    @pytest.mark.parametrize(
        "trouble",
        [
            Answer(b"oops", 500),
            Answer(b"", 502),
            Answer(b"", 408),
            Answer(raw=lambda connection: connection.close()),
            Answer(raw=lambda connection: _reset(connection)),
            Answer(
                raw=lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n[{")
            ),
            Answer(b"[{", 200),
            Answer(b"", 200),
            Answer(b"<html><body>Please log in</body></html>", 200, {"Content-Type": "text/html"}),
            Answer(gzip.compress(json.dumps(ROWS).encode())[:-20], 200, {"Content-Encoding": "gzip"}),
            Answer(b"this is no gzip", 200, {"Content-Encoding": "gzip"}),
        ],
        ids=[
            "500",
            "502",
            "408",
            "closed",
            "reset",
            "short",
            "half-json",
            "empty",
            "html",
            "half-gzip",
            "no-gzip",
        ],
    )
    def test_two_bad_answers_then_a_good_one_load_the_day(self, server: FakeSource, trouble: Answer) -> None:
        server.script.extend([trouble, trouble])
        load_rows()

    def test_a_right_body_with_a_wrong_content_type_is_taken(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(json.dumps(ROWS).encode(), 200, {"Content-Type": "text/plain"})
        load_rows()


class TestTroubleThatStays:
    @pytest.mark.parametrize("status", [500, 503])
    def test_server_errors_end_when_the_budget_is_spent(self, server: FakeSource, status: int) -> None:
        server.serve = lambda _: Answer(b"token=" + CANARY.encode(), status)
        began = time.monotonic()
        error = failure()
        assert isinstance(error, SourceUnreachable)
        assert f"HTTP {status}" in error.what
        assert time.monotonic() - began < 3 + 5

    def test_a_body_that_drips_is_cut_off_in_time(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(raw=_drip)
        began = time.monotonic()
        error = failure()
        assert isinstance(error, SourceUnreachable)
        assert "no whole answer within" in error.what
        assert time.monotonic() - began < 3 + 5

    def test_headers_that_drip_are_cut_off_in_time(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(raw=lambda connection: _drip(connection, b"HTTP/1.1 200 OK\r\nX: "))
        assert isinstance(failure(), SourceUnreachable)

    def test_an_unreachable_source_is_named_with_the_setting(
        self, server: FakeSource, configure: Callable[..., Settings]
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            configure(greenhouse_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
            error = failure()
        assert isinstance(error, SourceUnreachable)
        assert "MILLPOND_GREENHOUSE_URL" in error.next_step

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"[{", "not JSON"),
            (b"<html>Login</html>", "not JSON"),
            (b'{"status": 401, "message": "Unauthorized"}', "a list was expected, not an object"),
            (b"42", "a list was expected"),
            (b"", "it is empty"),
            (b"[" * 100_000, "nested too deeply"),
            (b'["\\\xff"]', "it is no UTF-8"),
        ],
    )
    def test_answers_that_are_no_list_of_rows_are_tried_three_times(
        self, server: FakeSource, configure: Callable[..., Settings], body: bytes, reason: str
    ) -> None:
        configure(request_budget_seconds=60)  # the third attempt must not depend on the machine's load
        server.serve = lambda _: Answer(body)
        error = failure()
        assert isinstance(error, SourceMalformed)
        assert reason in error.what
        assert len(server.requests) == 3

    def test_an_excerpt_of_a_malformed_answer_holds_no_secret(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(f'<a href="/login?token={CANARY}">\napi_secret={CANARY}'.encode())
        assert "[redacted]" in failure().what

    @pytest.mark.parametrize(
        ("status", "setting"),
        [
            (401, "MILLPOND_GREENHOUSE_TOKEN"),
            (403, "MILLPOND_GREENHOUSE_TOKEN"),
            (404, "MILLPOND_GREENHOUSE_URL"),
            (400, "sources/greenhouse.yaml"),
        ],
    )
    def test_a_refusal_is_not_repeated_and_says_what_to_check(
        self, server: FakeSource, status: int, setting: str
    ) -> None:
        server.serve = lambda _: Answer(b"no", status)
        error = failure()
        assert isinstance(error, SourceRefused)
        assert f"HTTP {status}" in error.what
        assert setting in error.next_step
        assert len(server.requests) == 1

    def test_an_answer_beyond_all_size_is_refused(
        self, server: FakeSource, configure: Callable[..., Settings]
    ) -> None:
        configure(response_max_mb=1)
        bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
        server.serve = lambda _: Answer(bomb, headers={"Content-Encoding": "gzip"})
        error = failure()
        assert isinstance(error, SourceRefused)
        assert "MILLPOND_RESPONSE_MAX_MB" in error.next_step

    def test_requests_and_credentials_never_go_to_another_server(self, server: FakeSource) -> None:
        with fake_source() as elsewhere:
            server.serve = lambda _: Answer(b"", 302, {"Location": f"{elsewhere.url}/entries?token={CANARY}"})
            assert isinstance(failure(), SourceRefused)
            assert elsewhere.requests == []

    def test_a_redirect_on_the_same_server_is_followed(self, server: FakeSource) -> None:
        server.script.append(Answer(b"", 302, {"Location": "/entries?count=1000"}))
        load_rows()


class TestPages:
    def test_a_full_page_that_repeats_for_ever_is_a_loop(self, server: FakeSource) -> None:
        page = json.dumps([reading(0, date=reading(n)["date"], _id=str(n)) for n in range(1000, 0, -1)])
        server.serve = lambda _: Answer(page.encode())
        assert isinstance(failure(), PagingLoop)
        assert len(server.requests) <= 3

    def test_a_source_that_serves_the_oldest_first_is_refused(self, server: FakeSource) -> None:
        rows = [reading(n % 287, _id=str(n)) for n in range(1000)]
        rows.sort(key=lambda row: row["date"])
        server.serve = lambda _: Answer(json.dumps(rows).encode())
        assert isinstance(failure(), PagingLoop)

    def test_days_of_a_stream_that_fails_are_kept_and_the_others_load(self, server: FakeSource) -> None:
        days = [DAY + dt.timedelta(n) for n in range(30)]
        everything = Entries([reading(0, day) for day in days])
        broken = int(dt.datetime(2026, 11, 16, tzinfo=dt.UTC).timestamp() * 1000)
        server.serve = lambda request: (
            Answer(b"[{")
            if int(request.query["from"]) <= broken < int(request.query["before"])
            else everything(request)
        )
        result = load_days(days[0], days[-1])
        assert {type(error) for error in result.failed.values()} == {SourceMalformed}
        assert sorted(result.failed) == days[14:28]
        assert [p.partition for p in result.partitions] == days[:14] + days[28:]
        assert set(raw("_partition_date")) == {*days[:14], *days[28:]}

    def test_a_source_that_is_down_ends_all_streams_at_once(self, server: FakeSource) -> None:
        server.serve = lambda _: Answer(b"", 401)
        result = load_days(DAY - dt.timedelta(200), DAY)
        assert len(result.failed) == 201
        assert len(server.requests) <= 4


class TestStaging:
    def test_a_load_leaves_nothing_in_the_staging_folder(
        self, server: FakeSource, configure: Callable[..., Settings]
    ) -> None:
        load_rows()
        server.serve = lambda _: Answer(b"", 401)
        load_days(DAY)
        assert list(configure().staging.iterdir()) == []

    def test_what_a_crashed_load_left_is_never_taken_for_another_days_rows(
        self, server: FakeSource, configure: Callable[..., Settings]
    ) -> None:
        assert exit_code(load_days, DAY, crash_at=["ingestion.judged"]) == -signal.SIGKILL
        assert list(configure().staging.iterdir())
        server.serve = Entries([reading(7, DAY + dt.timedelta(1))])
        result = load_days(DAY + dt.timedelta(1))
        assert raw("_id") == ["20261102-0007"]
        assert result.partitions[0].rows_in_source == 1
        server.serve = Entries(ROWS)
        load_days(DAY)
        assert raw("_id") == ["20261101-0000", "20261101-0001", "20261101-0002", "20261102-0007"]


def test_a_source_without_address_is_a_mistake_of_configuration(
    server: FakeSource, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "sources").symlink_to(settings().project / "sources")
    monkeypatch.delenv("MILLPOND_GREENHOUSE_URL")
    configure(project=tmp_path)
    with pytest.raises(ConfigError, match="MILLPOND_GREENHOUSE_URL is not set, and"):
        load_days(DAY)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _drip(connection: socket.socket, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n") -> None:
    try:
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)  # the fault itself: a byte now and then
    except OSError:
        return
