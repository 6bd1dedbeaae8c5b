"""A host that does not answer is left alone, by every process; one probe finds out whether it is back."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.errors import BreakerOpen, SourceLimited, SourceRefused, SourceUnreachable
from millpond.ingestion import breaker
from millpond.ingestion.assets import build_assets
from millpond.ingestion.guard import Guard
from millpond.ingestion.rest.reader import RestReader
from millpond.ingestion.window import Retries
from millpond.instance.home import open_instance
from millpond.runtime.databases import databases
from millpond.settings import Settings, settings
from processes import exit_codes, start
from source_tables import load_days, table_of

ERROR = SourceUnreachable("no usable answer: HTTP 503")
DOWN = Answer(b"", 503)
OPEN = 3


@pytest.fixture
def source(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as found:
        configure(
            greenhouse_url=found.url,
            request_budget_seconds=1,
            breaker_failures=3,
            breaker_pause_seconds=3600,
        )
        found.serve = lambda _: DOWN
        yield found


def failure() -> Any:
    result = load_days(DAY)
    return type(result.failed[DAY]) if result.failed else None


def opened(source: FakeSource) -> None:
    for _ in range(3):
        breaker.record_failure(breaker.host_of(source.url), ERROR, "greenhouse", ["dlt_climate_entries"])


def ask() -> None:
    spec, table = table_of("climate_entries")
    try:
        Guard(RestReader.of(spec, table, settings())).admit()
    except BreakerOpen:
        sys.exit(OPEN)


def time_is_over() -> None:
    with databases().ops.connect() as connection:
        connection.execute("update breakers set next_probe = now()")


def told() -> list[dict[str, Any]]:
    with open_instance() as recorded:
        find_alerts(
            recorded,
            settings(),
            Routing(late_after_days=0),
            AssetFacts(owners={"dlt_climate_entries": ("team:x",)}),
        )
    with outbox() as connection:
        return connection.execute("select * from alerts order by id").fetchall()


def test_a_source_that_is_down_for_ten_runs_is_asked_in_three_and_then_no_more(
    source: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(request_budget_seconds=0.1)
    assert [failure() for _ in range(3)] == [SourceUnreachable] * 3
    source.requests.clear()
    assert [failure() for _ in range(7)] == [BreakerOpen] * 7
    assert source.requests == []


def test_the_refusal_says_which_host_since_when_until_when_and_what_to_do(source: FakeSource) -> None:
    opened(source)
    error = load_days(DAY).failed[DAY]
    assert error.what.startswith(f"dlt_climate_entries, 2026-11-01: {source.url} is left alone since 20")
    assert "after 3 failures in a row; the next try is at 20" in error.what
    assert "HTTP 503" in error.what
    assert error.unharmed
    assert f"millpond sources reset {source.url}" in error.next_step


def test_an_answer_in_between_starts_the_count_anew(source: FakeSource) -> None:
    source.serve = Entries([reading(0)])
    host = breaker.host_of(source.url)
    for _ in range(3):
        breaker.record_failure(host, ERROR, "greenhouse", [])
        breaker.record_failure(host, ERROR, "greenhouse", [])
        assert failure() is None
    assert breaker.breakers() == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [(Answer(b"", 404), SourceRefused), (Answer(b"", 429, {"Retry-After": "900"}), SourceLimited)],
)
def test_a_host_that_refuses_or_limits_is_not_down(source: FakeSource, answer: Answer, error: type) -> None:
    source.serve = lambda _: answer
    assert [failure() for _ in range(4)] == [error] * 4


def test_one_alert_when_it_opens_and_its_end_when_it_closes(source: FakeSource) -> None:
    opened(source)
    (alert,) = told()
    assert (alert["kind"], alert["times"], alert["resolved_at"]) == ("breaker_open", 1, None)
    assert (alert["assets"], alert["owners"]) == (["dlt_climate_entries"], ["team:x"])
    time_is_over()
    assert failure() is BreakerOpen  # the probe fails
    assert len(told()) == 1
    source.serve = Entries([reading(0)])
    time_is_over()
    assert failure() is None
    (alert,) = told()
    assert (alert["times"], alert["resolution"]) == (1, "It answers again.")
    assert breaker.breakers() == []


def test_loads_that_fail_at_the_same_moment_open_it_once(source: FakeSource) -> None:
    host = breaker.host_of(source.url)
    threads = [
        threading.Thread(target=breaker.record_failure, args=(host, ERROR, "greenhouse", []))
        for _ in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [alert["times"] for alert in told()] == [1]
    assert breaker.breakers()[0].failures == 9


def test_a_probe_is_one_small_request_made_once(source: FakeSource) -> None:
    opened(source)
    time_is_over()
    assert [failure(), failure()] == [BreakerOpen] * 2
    assert [request.query["count"] for request in source.requests] == ["1"]


def test_of_many_at_once_one_makes_the_probe(source: FakeSource) -> None:
    opened(source)
    time_is_over()
    everybody = threading.Barrier(8)
    seen: list[str] = []

    def probe() -> None:
        seen.append("probe")

    def ask() -> None:
        everybody.wait()
        try:
            breaker.admit(breaker.host_of(source.url), probe)
        except BreakerOpen:
            seen.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.count("probe") == 1


def test_two_other_processes_know_that_it_is_open_and_make_one_probe(source: FakeSource) -> None:
    opened(source)
    time_is_over()
    assert exit_codes([start(ask) for _ in range(2)]) == [OPEN] * 2
    assert len(source.requests) == 1


def test_a_killed_probe_is_given_up_after_a_minute(source: FakeSource) -> None:
    opened(source)
    time_is_over()
    host = breaker.host_of(source.url)
    with pytest.raises(KeyboardInterrupt):
        breaker.admit(host, interrupted)
    with pytest.raises(BreakerOpen):
        breaker.admit(host, interrupted)
    (left,) = breaker.breakers()
    assert left.next_probe
    assert left.next_probe - dt.datetime.now(dt.UTC) < dt.timedelta(seconds=61)


def interrupted() -> None:
    raise KeyboardInterrupt


def test_an_open_breaker_fails_a_run_at_once_without_retries_and_names_all_days(source: FakeSource) -> None:
    opened(source)
    spec, table = table_of("climate_entries", retries=Retries(max=3, delay=dt.timedelta(seconds=60)))
    (asset,) = build_assets([spec.model_copy(update={"tables": (table,)})])
    with dg.DagsterInstance.ephemeral() as recorded:
        tags = {
            "dagster/asset_partition_range_start": "2026-11-01",
            "dagster/asset_partition_range_end": "2026-11-05",
        }
        result = dg.materialize([asset], tags=tags, instance=recorded, raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data
    assert data.metadata["days_failed"].value == "2026-11-01...2026-11-05"
    assert data.metadata["error"].value == "BreakerOpen"
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert source.requests == []


def test_loading_from_a_host_that_is_well_writes_nothing_about_it(source: FakeSource) -> None:
    source.serve = Entries([reading(0)])
    assert failure() is None
    assert breaker.breakers() == []
