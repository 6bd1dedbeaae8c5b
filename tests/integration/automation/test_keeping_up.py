"""What runs by itself, on the real definitions and in a real home: what it starts, and who may stop it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from functools import lru_cache

import dagster as dg
import pytest
from dagster._core.instance.config import ConcurrencyConfig
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import filter_runs_to_should_retry
from typer.testing import CliRunner

from millpond.automation.overview import is_on, list_automation, list_instigators, starts_runs
from millpond.automation.preview import preview
from millpond.automation.requests import CHAIN_TAG
from millpond.automation.schedules import DAILY_SCHEDULE as DAILY
from millpond.automation.sensors import CONDITION_SENSOR as KEEP_UP
from millpond.automation.switches import switch
from millpond.cli.main import app
from millpond.errors import ConfigError
from millpond.settings import settings

CLIMATE = {
    *("dlt_climate_entries", "stg_climate_entries", "fct_climate_readings", "mrt_climate_readings"),
    *("fct_daily_climate_metrics", "device_versions", "dim_device"),
    *("mrt_climate_overview", "marts/mrt_climate_overview"),
}
STARTING = {DAILY, KEEP_UP, "housekeeping_schedule"}


@lru_cache(1)
def definitions() -> dg.Definitions:
    from millpond.definitions import defs

    return defs


@lru_cache(1)
def housekeeping() -> dg.JobDefinition:
    return definitions().resolve_job_def("housekeeping")


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["automation", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def state(recorded: dg.DagsterInstance, name: str) -> bool:
    stored = {each.name: each for each in recorded.all_instigator_state()}
    (found,) = [each for each in list_instigators(definitions()) if each.name == name]
    return is_on(found, stored.get(name))


def test_the_sensor_asks_for_one_run_of_the_chain_where_dagster_would_ask_for_one_a_partition(
    recorded: dg.DagsterInstance,
) -> None:
    import time_machine

    repository = definitions().get_repository_def()
    sensor = repository.get_sensor_def(KEEP_UP)
    cursor, found = None, []
    for moment in ("2026-11-22T09:59:40", "2026-11-22T10:00:10", "2026-11-22T10:00:40"):
        with time_machine.travel(dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC), tick=False):
            context = dg.build_sensor_context(recorded, cursor=cursor, repository_def=repository)
            tick = sensor.evaluate_tick(context)
        cursor = tick.cursor
        found.append(list(tick.run_requests or ()))
    first, (request,), last = found
    assert (first, last) == ([], [])
    assert {key.to_user_string() for key in request.asset_selection or ()} == CLIMATE | {"dim_date"}
    assert {key.asset_key.to_user_string() for key in request.asset_check_keys or ()} <= CLIMATE | {
        "dim_date"
    }
    assert request.tags[CHAIN_TAG] == "climate_entries"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-14"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-22"


def test_one_automatic_run_of_a_chain_works_at_a_time_and_other_chains_beside_it(
    recorded: dg.DagsterInstance,
) -> None:
    config: ConcurrencyConfig = recorded.get_concurrency_config()
    assert config.run_queue_config is not None
    assert list(config.run_queue_config.tag_concurrency_limits) == [
        {"key": CHAIN_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]


@pytest.mark.parametrize(
    ("tags", "of_a_step", "again"),
    [
        ({"dagster/max_retries": "1"}, False, True),
        ({"dagster/max_retries": "1"}, True, False),
        ({}, False, False),
    ],
    ids=["an automatic run whose process died", "a step failed", "a run that a person started"],
)
def test_only_an_automatic_run_whose_process_died_begins_again(
    recorded: dg.DagsterInstance, tags: dict[str, str], of_a_step: bool, again: bool
) -> None:
    from dagster._core.events import DagsterEvent, DagsterEventType, JobFailureData, RunFailureReason

    run = recorded.create_run_for_job(housekeeping(), tags=tags)
    if of_a_step:
        reason = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
        event = DagsterEvent(
            DagsterEventType.RUN_FAILURE.value, housekeeping().name, event_specific_data=reason
        )
        recorded.report_dagster_event(event, run.run_id)
    else:
        recorded.report_run_failed(run, "Process 17, which executed this run, is gone")
    failed = recorded.get_run_by_id(run.run_id)
    assert failed is not None
    assert bool(list(filter_runs_to_should_retry([failed], recorded))) == again


@pytest.mark.parametrize("before", [True, False])
def test_a_run_whose_process_dies_begins_again_only_where_the_home_is_not_paused(
    recorded: dg.DagsterInstance, before: bool
) -> None:
    def due(run: dg.DagsterRun) -> bool:
        failed = recorded.get_run_by_id(run.run_id)
        return failed is not None and bool(list(filter_runs_to_should_retry([failed], recorded)))

    run = recorded.create_run_for_job(housekeeping(), tags={"dagster/max_retries": "1"})
    if before:
        recorded.report_run_failed(run, "Process 17, which executed this run, is gone")
        assert due(run)
    switch(definitions(), recorded, settings(), None, on=False)
    if not before:
        recorded.report_run_failed(run, "Process 17, which executed this run, is gone")
    assert not due(run)
    switch(definitions(), recorded, settings(), None, on=True)
    assert not due(run)


def test_pausing_stops_what_starts_runs_and_resuming_lets_it_go_on(recorded: dg.DagsterInstance) -> None:
    assert {each.name for each in list_instigators(definitions()) if starts_runs(each)} >= STARTING
    paused = switch(definitions(), recorded, settings(), None, on=False)
    assert set(paused) >= STARTING
    assert "alerts" not in paused
    assert not any(state(recorded, name) for name in STARTING)
    assert state(recorded, "alerts")
    assert switch(definitions(), recorded, settings(), None, on=False) == []
    assert switch(definitions(), recorded, settings(), DAILY, on=True) == [DAILY]
    assert (state(recorded, DAILY), state(recorded, KEEP_UP)) == (True, False)


@pytest.mark.slow
def test_the_daemon_and_the_pages_see_the_same_switch(recorded: dg.DagsterInstance) -> None:
    from dagster._core.test_utils import create_test_daemon_workspace_context
    from dagster._core.workspace.load_target import ModuleTarget

    switch(definitions(), recorded, settings(), None, on=False)
    target = ModuleTarget(
        "millpond.definitions", attribute=None, working_directory=None, location_name="millpond"
    )
    context: WorkspaceProcessContext
    with create_test_daemon_workspace_context(target, recorded) as context:
        location = context.create_request_context().get_code_location("millpond")
        (repository,) = location.get_repositories().values()
        stored = {each.selector_id: each for each in recorded.all_instigator_state()}
        for name in STARTING:
            remote = (
                repository.get_sensor(name) if repository.has_sensor(name) else repository.get_schedule(name)
            )
            assert not remote.get_current_instigator_state(stored[remote.selector_id]).is_running


def test_an_unknown_name_is_refused_with_the_near_one(recorded: dg.DagsterInstance) -> None:
    with pytest.raises(ConfigError, match="no schedule or sensor 'keepup'") as refused:
        switch(definitions(), recorded, settings(), "keepup", on=False)
    assert "did you mean keep_up?" in refused.value.next_step
    assert "nothing was paused" in refused.value.unharmed


def test_what_is_on_and_when_it_comes_next_is_listed_and_a_pause_shows(recorded: dg.DagsterInstance) -> None:
    found = {each.name: each for each in list_automation(definitions(), recorded, settings())}
    assert found[DAILY].when == "0 6 * * * in UTC"
    following = found[DAILY].next
    assert following is not None
    assert (following.hour, following.minute) == (6, 0)
    assert found["dlt_climate_entries"].when == "at 0 * * * * in UTC"
    assert found["marts/mrt_climate_overview"].when == "follows its inputs"
    said("pause", KEEP_UP)
    listed = {each["name"]: each for each in json.loads(said("list", "--json"))}
    assert (listed[KEEP_UP]["state"], listed[KEEP_UP]["next"]) == ("paused", None)
    assert listed["dlt_climate_entries"]["state"] == "paused"
    assert listed[DAILY]["state"] == "on"
    assert "paused" in said("list")
    assert json.loads(said("resume", KEEP_UP, "--json")) == {"changed": [KEEP_UP], "state": "on"}


def test_a_preview_says_what_would_run_at_a_moment_and_why_and_runs_nothing(
    recorded: dg.DagsterInstance,
) -> None:
    at = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
    runs = preview(definitions(), recorded, settings(), at)
    by = {(run.by, "dlt_climate_entries" in run.assets): run for run in runs}
    assert by[DAILY, True].days == "2026-11-16...2026-11-19"
    assert by[DAILY, True].why == "completes yesterday and reloads days that may have late data"
    assert by[KEEP_UP, True].why == "dlt_climate_entries is due at 0 * * * *; the rest follows"
    assert by["housekeeping_schedule", False].why == "no tick; its next is 2026-11-21 03:30"
    between = preview(definitions(), recorded, settings(), at + dt.timedelta(minutes=1))
    assert [run.why for run in between if run.by == KEEP_UP] == [
        "no load is due; the next load is due 2026-11-20 06:15"
    ]
    assert "dlt_climate_entries is due" in said("preview", "--at", "2026-11-20T06:00")
    assert json.loads(said("preview", "--at", "2026-11-20T06:00", "--json"))["at"].startswith("2026-11-20T06")
    assert recorded.get_runs_count() == 0
    assert not recorded.all_instigator_state()


def test_a_time_of_day_is_the_next_there_is(configure: Callable[..., object]) -> None:
    from millpond.cli.automation import parse_moment

    configure(timezone="Europe/Berlin")
    now = dt.datetime(2026, 11, 20, 12, 30, 45, tzinfo=dt.UTC)
    found = {
        text: parse_moment(text, settings(), now) for text in ("now", "06:00", "13:30", "2026-07-01T06:00")
    }
    assert {text: f"{moment:%m-%d %H:%M}" for text, moment in found.items()} == {
        "now": "11-20 12:30",
        "06:00": "11-21 05:00",
        "13:30": "11-20 12:30",
        "2026-07-01T06:00": "07-01 04:00",
    }


def test_on_another_ref_and_where_the_setting_says_so_nothing_loads_by_itself(
    configure: Callable[..., object],
) -> None:
    from millpond.automation.schedules import is_automatic

    assert is_automatic(settings())
    configure(ref="dev")
    assert not is_automatic(settings())
    configure(ref="main", automation="false")
    assert not is_automatic(settings())
