"""The sensor that asks a source for news starts a run for days with new rows, once, and otherwise none."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import SENSOR_NAME_TAG

from fake_source import Answer, Entries, Events, FakeSource, Request, event, fake_source, reading
from millpond.automation.new_data_sensors import build_new_data_sensors
from millpond.definitions import defs
from millpond.errors import SourceRefused, SourceUnreachable
from millpond.ingestion import breaker
from millpond.ingestion.reading import load_sources
from millpond.instance.home import open_instance
from millpond.resources.run import JOB
from millpond.settings import Settings, settings

pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.date(2026, 1, 1)
YESTERDAY = TODAY - dt.timedelta(days=1)
CLIMATE, MARKET = "new_data_climate_entries", "new_data_market_events"


class Tagged:
    """A source's answers with an ETag, and 304 for who knows it."""

    def __init__(self, serve: Callable[[Request], Answer]) -> None:
        self.serve, self.unchanged = serve, 0

    def __call__(self, request: Request) -> Answer:
        answer = self.serve(request)
        answer.headers["ETag"] = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") != answer.headers["ETag"]:
            return answer
        self.unchanged += 1
        return Answer(b"", 304, {"ETag": answer.headers["ETag"]})


@pytest.fixture
def source(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as found:
        configure(greenhouse_url=found.url, market_url=found.url, market_user="corner", breaker_failures=1)
        yield found


@pytest.fixture
def recorded(source: FakeSource) -> Iterator[dg.DagsterInstance]:
    with open_instance() as found:
        yield found


class Polling:
    """A sensor as the daemon drives it: each tick goes on from the cursor of the one before."""

    def __init__(self, recorded: dg.DagsterInstance, name: str = CLIMATE) -> None:
        found = {sensor.name: sensor for sensor in build_new_data_sensors(load_sources(settings()), [])}
        self.sensor, self.recorded, self.cursor = found[name], recorded, None

    def tick(self, keep: bool = True) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.recorded, cursor=self.cursor, repository_def=defs.get_repository_def()
        )
        result: Any = self.sensor(context)
        self.cursor = result.cursor if keep else self.cursor
        return result

    def runs(self) -> list[dg.RunRequest]:
        return list(self.tick().run_requests or ())


def test_the_first_look_remembers_what_is_there_and_starts_nothing(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    source.serve = Entries([reading(0, TODAY)])
    first = Polling(recorded).tick()
    assert not first.run_requests
    assert "first tick" in str(first.skip_reason)


@pytest.mark.parametrize("polls", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_unchanged_polls_start_no_run(source: FakeSource, recorded: dg.DagsterInstance, polls: int) -> None:
    now = dt.datetime.now(dt.UTC)
    source.serve = Events([event(n, now) for n in range(5)], source.url)
    polling = Polling(recorded, MARKET)
    assert [run for _ in range(polls) for run in polling.runs()] == []
    assert len(source.requests) == polls
    source.serve = Events([event(n, now) for n in range(6)], source.url)
    assert len(polling.runs()) == 1


def test_an_unchanged_source_with_etags_answers_304_and_no_body(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    source.serve = tagged = Tagged(Entries([reading(0, TODAY)]))
    polling = Polling(recorded)
    assert [run for _ in range(10) for run in polling.runs()] == []
    assert tagged.unchanged == 18  # two days, but for the first look
    tagged.serve = Entries([reading(1, TODAY)])
    (run,) = polling.runs()
    assert run.tags["dagster/partition"] == str(TODAY)


def test_a_new_row_loads_its_day_and_all_that_is_made_from_it_in_one_run(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    source.serve = Entries([reading(0, YESTERDAY), reading(0, TODAY)])
    polling = Polling(recorded)
    polling.tick()
    source.serve = Entries([reading(0, YESTERDAY), reading(1, YESTERDAY), reading(0, TODAY)])
    (run,) = polling.runs()
    assert run.tags["dagster/partition"] == str(YESTERDAY)
    names = {key.to_user_string() for key in run.asset_selection or ()}
    assert {"dlt_climate_entries", "stg_climate_entries", "marts/mrt_climate_overview"} <= names
    assert "dlt_market_events" not in names
    assert polling.runs() == []


def test_the_run_that_it_asks_for_loads_the_days_that_had_news(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    polling = Polling(recorded)
    polling.tick()
    source.serve = Entries([reading(0, YESTERDAY), reading(0, TODAY)])
    (run,) = polling.runs()
    raw_only = [key for key in run.asset_selection or () if key.to_user_string() == "dlt_climate_entries"]
    job = defs.resolve_job_def(JOB)
    result = job.execute_in_process(tags=dict(run.tags), asset_selection=raw_only, instance=recorded)
    made = result.asset_materializations_for_node("dlt_climate_entries")
    assert sorted(each.partition or "" for each in made) == [str(YESTERDAY), str(TODAY)]
    assert polling.runs() == []


def test_news_of_several_days_is_one_run_over_their_range(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    polling = Polling(recorded)
    polling.tick()
    source.serve = Entries([reading(0, YESTERDAY), reading(0, TODAY)])
    (run,) = polling.runs()
    assert run.tags["dagster/asset_partition_range_start"] == str(YESTERDAY)
    assert run.tags["dagster/asset_partition_range_end"] == str(TODAY)


def test_a_tick_that_is_repeated_asks_for_the_same_run_and_later_news_for_another(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    polling = Polling(recorded)
    polling.tick()
    source.serve = Entries([reading(0, TODAY)])
    (lost,) = polling.tick(keep=False).run_requests or ()
    (again,) = polling.runs()
    assert lost.run_key == again.run_key
    source.serve = Entries([])
    assert polling.runs() == []
    source.serve = Entries([reading(0, TODAY)])
    (later,) = polling.runs()
    assert later.run_key != again.run_key


def test_while_its_run_is_at_work_news_wait_and_are_not_lost(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    polling = Polling(recorded)
    polling.tick()
    source.serve = Entries([reading(0, TODAY)])
    run = recorded.create_run_for_job(
        dg.job(name="waiting")(lambda: None),
        tags={SENSOR_NAME_TAG: CLIMATE},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert run.run_id in str(polling.tick().skip_reason)
    recorded.report_run_failed(run)
    assert len(polling.runs()) == 1


@pytest.mark.parametrize(
    "answer", [Answer(b"", 500), Answer(b"", 429), Answer(b"", 429, {"Retry-After": "60"}), Answer(b"<html>")]
)
def test_a_source_that_is_not_available_is_skipped_with_the_reason_in_one_request(
    source: FakeSource, recorded: dg.DagsterInstance, answer: Answer
) -> None:
    polling = Polling(recorded)
    polling.tick()
    before, requests = polling.cursor, len(source.requests)
    source.serve = lambda _: answer
    skipped = polling.tick()
    assert "source greenhouse, GET" in str(skipped.skip_reason)
    assert polling.cursor == before
    assert len(source.requests) == requests + 1


def test_a_refusal_fails_the_tick_so_that_somebody_hears_of_it(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    source.serve = lambda _: Answer(b"", 401)
    with pytest.raises(SourceRefused, match="HTTP 401"):
        Polling(recorded).tick()


def test_while_the_breaker_is_open_nobody_is_asked_and_the_reason_says_until_when(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    host = breaker.host_of(source.url)
    breaker.record_failure(host, SourceUnreachable("down"), "greenhouse", [])
    assert "the next try is at 20" in str(Polling(recorded).tick().skip_reason)
    assert source.requests == []


def test_a_listing_without_dates_gives_news_for_the_days_of_its_new_events(
    source: FakeSource, recorded: dg.DagsterInstance
) -> None:
    noon = dt.datetime.combine(YESTERDAY, dt.time(12), dt.UTC)
    old = [event(n, noon - dt.timedelta(days=5, minutes=n)) for n in range(40)]
    source.serve = Events([event(90, noon), *old], source.url)
    polling = Polling(recorded, MARKET)
    polling.tick()
    assert source.requests[-1].query["per_page"] == "30"
    source.serve = Events([event(91, noon + dt.timedelta(minutes=1)), event(90, noon), *old], source.url)
    (run,) = polling.runs()
    assert run.tags["dagster/partition"] == str(YESTERDAY)
    assert polling.runs() == []


def test_there_is_a_sensor_only_where_the_spec_declares_news_and_it_says_what_it_does() -> None:
    sources = load_sources(settings())
    silent = [
        each.model_copy(update={"tables": tuple(t.model_copy(update={"news": None}) for t in each.tables)})
        for each in sources
    ]
    assert build_new_data_sensors(silent, []) == []
    for sensor in build_new_data_sensors(sources, []):
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert sensor.minimum_interval_seconds == 300
        assert "all downstream of it" in (sensor.description or "")


def test_on_a_branch_no_sensor_looks_unless_it_is_switched_on(configure: Callable[..., Settings]) -> None:
    configure(ref="dev")
    statuses = {sensor.default_status for sensor in build_new_data_sensors(load_sources(settings()), [])}
    assert statuses == {dg.DefaultSensorStatus.STOPPED}
