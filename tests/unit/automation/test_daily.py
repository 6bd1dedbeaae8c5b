"""The daily schedule: which days it makes, at which moment, through weekends and changes of the clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from small_chain import CHAIN, definitions, keys

from millpond.automation.chains import Chain
from millpond.automation.overview import find_next_tick
from millpond.automation.requests import CHAIN_TAG
from millpond.automation.schedules import build_daily, find_window
from millpond.ingestion.window import Cadence
from millpond.resources.run import partition_tags
from millpond.settings import Settings, settings

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = Chain(
    "readings",
    CHAIN.assets,
    CHAIN.given,
    CHAIN.daily,
    {dg.AssetKey("dlt_readings"): Cadence(cron="0 * * * *", lookback_days=3, weekend_lookback_days=7)},
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


def schedule(configured: Settings, chain: Chain = WEEKEND) -> dg.ScheduleDefinition:
    job = dg.define_asset_job("everything", "*")
    return build_daily(job, [chain], configured)  # type: ignore[arg-type]


def ticked(instance: dg.DagsterInstance, configured: Settings, at: dt.datetime) -> dg.ScheduleExecutionData:
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at,
        repository_def=definitions().get_repository_def(),
    )
    return schedule(configured).evaluate_tick(context)


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        ("2026-11-20T06:00", "2026-11-16...2026-11-19"),  # Friday
        ("2026-11-21T06:00", "2026-11-13...2026-11-20"),  # Saturday
        ("2026-11-22T06:00", "2026-11-14...2026-11-21"),  # Sunday
        ("2026-11-23T06:00", "2026-11-19...2026-11-22"),  # Monday
        ("2026-03-29T06:00", "2026-03-21...2026-03-28"),  # the clock was put forward in the night
        ("2026-03-30T06:00", "2026-03-26...2026-03-29"),
        ("2026-10-25T06:00", "2026-10-17...2026-10-24"),  # the clock was put back in the night
        ("2026-10-26T06:00", "2026-10-22...2026-10-25"),
        ("2026-11-20T00:10", "2026-11-16...2026-11-19"),  # in UTC still the day before
    ],
)
def test_yesterday_is_the_one_of_the_configured_zone_with_the_days_before_it(
    moment: str, days: str, configure: Callable[..., Settings]
) -> None:
    configured = configure(timezone="Europe/Berlin")
    at = dt.datetime.fromisoformat(moment).replace(tzinfo=BERLIN).astimezone(dt.UTC)
    assert str(find_window(at, WEEKEND, configured)) == days


def test_days_before_the_first_partition_are_left_out(configure: Callable[..., Settings]) -> None:
    configured = configure(start_date="2026-11-18")
    assert str(find_window(dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC), WEEKEND, configured)) == (
        "2026-11-18...2026-11-19"
    )
    assert find_window(dt.datetime(2026, 11, 18, 6, tzinfo=dt.UTC), WEEKEND, configured) is None


@pytest.mark.parametrize(
    ("after", "at_utc"),
    [
        ("2026-03-28T07:00", "2026-03-29T04:00"),
        ("2026-03-27T07:00", "2026-03-28T05:00"),
        ("2026-10-24T07:00", "2026-10-25T05:00"),
        ("2026-10-23T07:00", "2026-10-24T04:00"),
    ],
)
def test_it_ticks_at_six_by_the_clock_on_the_wall_also_when_that_is_changed(
    after: str, at_utc: str, configure: Callable[..., Settings]
) -> None:
    found = schedule(configure(timezone="Europe/Berlin"))
    assert (found.cron_schedule, found.execution_timezone) == ("0 6 * * *", "Europe/Berlin")
    begin = dt.datetime.fromisoformat(after).replace(tzinfo=BERLIN)
    assert find_next_tick("0 6 * * *", "Europe/Berlin", begin) == dt.datetime.fromisoformat(at_utc).replace(
        tzinfo=dt.UTC
    )


def test_a_time_in_the_hour_that_is_left_out_in_march_still_ticks_once_a_day(
    configure: Callable[..., Settings],
) -> None:
    found = schedule(configure(timezone="Europe/Berlin", daily_at="02:30"))
    moment, ticks = dt.datetime(2026, 3, 27, 12, tzinfo=BERLIN), []
    for _ in range(4):
        moment = find_next_tick(str(found.cron_schedule), "Europe/Berlin", moment)
        ticks.append(moment.astimezone(BERLIN).date().day)
    assert ticks == [28, 29, 30, 31]


def test_it_asks_for_one_run_of_the_chain_over_all_its_days_once_a_day(
    instance: dg.DagsterInstance, configure: Callable[..., Settings]
) -> None:
    at = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
    (request,) = ticked(instance, configure(), at).run_requests or ()
    assert request.run_key == "readings:2026-11-19"
    assert set(request.asset_selection or ()) == CHAIN.assets | CHAIN.given
    assert request.tags[CHAIN_TAG] == "readings"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-16"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-19"


@pytest.mark.parametrize(
    ("days", "skips"), [(("2026-11-10", "2026-11-22"), True), (("2026-11-17", "2026-11-19"), False)]
)
def test_it_skips_with_a_reason_where_an_unfinished_run_makes_the_same(
    instance: dg.DagsterInstance, configure: Callable[..., Settings], days: tuple[str, str], skips: bool
) -> None:
    from millpond.partitions import Window

    configured = configure()
    window = Window.of_days(*map(dt.date.fromisoformat, days))
    run = instance.create_run_for_job(
        definitions().resolve_job_def("everything"),
        tags=partition_tags(window),
        asset_selection=CHAIN.assets | keys("calendar"),
    )
    found = ticked(instance, configured, dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC))
    assert bool(found.skip_message) == skips
    if skips:
        assert found.skip_message == f"readings: run {run.run_id} already covers 2026-11-16...2026-11-19"
        instance.report_run_failed(run)
        assert ticked(instance, configured, dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)).run_requests


@pytest.mark.parametrize("wrong", ["6", "24:00", "06:60", "6:00"])
def test_a_time_that_is_none_is_refused(wrong: str, configure: Callable[..., Settings]) -> None:
    from millpond.errors import ConfigError

    with pytest.raises(ConfigError, match=r"MILLPOND_DAILY_AT") as refused:
        configure(daily_at=wrong)
    assert "06:00" in refused.value.next_step
    assert settings.cache_info().currsize == 0
