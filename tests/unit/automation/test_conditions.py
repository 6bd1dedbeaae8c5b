"""What the conditions ask for at a tick, and what they leave alone."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from small_chain import BAD, Ticks

from millpond.resources.run import BACKFILL_TAG

ALL = {"calendar", "dlt_readings", "facts", "overview", "mart"}
TODAY = "2026-11-22"


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    BAD["now"] = False
    with dg.DagsterInstance.ephemeral() as instance:
        found = Ticks(instance)
        assert found.at(f"{TODAY}T09:59:30") == {}, "the first look asks for nothing"
        yield found


@pytest.fixture
def kept_up(ticks: Ticks) -> Ticks:
    """Everything there is of the last days is made."""
    ticks.made("2026-11-19", "2026-11-20", "2026-11-21", TODAY)
    assert ticks.at(f"{TODAY}T09:59:50") == {}
    return ticks


def test_a_tick_asks_for_today_of_the_whole_chain_at_once(kept_up: Ticks) -> None:
    assert kept_up.at(f"{TODAY}T10:00:10") == {
        "dlt_readings": [TODAY],
        "facts": [TODAY],
        "overview": [None],
        "mart": [None],
    }


def test_the_chain_stays_whole_where_it_was_made_a_moment_before_the_tick(kept_up: Ticks) -> None:
    assert kept_up.run("* and not key:calendar", TODAY)
    assert set(kept_up.at(f"{TODAY}T10:00:10")) == ALL - {"calendar"}


def test_nothing_is_asked_for_between_ticks_nor_twice_for_one(kept_up: Ticks) -> None:
    assert kept_up.at(f"{TODAY}T10:00:10")
    assert [kept_up.at(f"{TODAY}T10:{m}:10") for m in ("01", "30", "59")] == [{}, {}, {}]
    assert kept_up.at(f"{TODAY}T11:00:10")


def test_a_new_home_gets_the_last_days_and_the_calendar_with_the_first_tick(ticks: Ticks) -> None:
    asked = ticks.at(f"{TODAY}T10:00:10")
    assert asked.keys() == ALL
    assert asked["dlt_readings"] == ["2026-11-19", "2026-11-20", "2026-11-21", TODAY]
    assert asked["facts"] == asked["dlt_readings"]


def test_what_became_due_while_nobody_looked_is_asked_for_once(kept_up: Ticks) -> None:
    assert kept_up.at(f"{TODAY}T17:20:00")["dlt_readings"] == [TODAY]
    assert kept_up.at(f"{TODAY}T17:21:00") == {}


def test_the_day_that_begins_at_a_tick_is_the_one_that_is_asked_for(kept_up: Ticks) -> None:
    assert kept_up.at("2026-11-23T00:00:10")["dlt_readings"] == ["2026-11-23"]


def test_an_unfinished_run_is_not_doubled_and_the_tick_is_made_up_for(kept_up: Ticks) -> None:
    job = kept_up.defs.resolve_job_def("everything")
    run = kept_up.instance.create_run_for_job(
        job,
        tags={"dagster/partition": TODAY},
        asset_selection=frozenset(job.asset_layer.executable_asset_keys),
    )
    assert kept_up.at(f"{TODAY}T10:00:10") == {}
    kept_up.instance.report_run_failed(run)
    assert kept_up.at(f"{TODAY}T10:05:10")["dlt_readings"] == [TODAY]


def test_what_a_person_loads_is_followed_by_all_that_reads_it(kept_up: Ticks) -> None:
    assert kept_up.run("dlt_readings", "2026-11-20")
    assert kept_up.at(f"{TODAY}T09:59:55") == {"facts": ["2026-11-20"], "overview": [None], "mart": [None]}


def test_a_run_that_made_what_follows_itself_is_followed_by_nothing(kept_up: Ticks) -> None:
    assert kept_up.run("*", TODAY)
    assert kept_up.at(f"{TODAY}T09:59:55") == {}


def test_days_of_long_ago_and_those_of_a_backfill_are_left_to_who_loads_them(kept_up: Ticks) -> None:
    assert kept_up.run("dlt_readings", "2026-11-05")
    assert kept_up.at(f"{TODAY}T09:59:55") == {}
    assert kept_up.run("dlt_readings", TODAY, **{BACKFILL_TAG: "1122_4f09ac"})
    assert kept_up.at(f"{TODAY}T09:59:57") == {}


def test_what_follows_does_not_run_on_data_that_failed_a_blocking_check(kept_up: Ticks) -> None:
    BAD["now"] = True
    assert not kept_up.run("dlt_readings", TODAY)
    assert kept_up.at(f"{TODAY}T09:59:55") == {}
    BAD["now"] = False
    assert kept_up.run("dlt_readings", TODAY)
    assert set(kept_up.at(f"{TODAY}T09:59:57")) == {"facts", "overview", "mart"}


def test_a_chain_that_failed_waits_for_the_next_tick(kept_up: Ticks) -> None:
    assert kept_up.at(f"{TODAY}T10:00:10")
    BAD["now"] = True
    assert not kept_up.run("* and not key:calendar", TODAY)
    assert kept_up.at(f"{TODAY}T10:00:40") == {}
    assert set(kept_up.at(f"{TODAY}T11:00:10")) == ALL - {"calendar"}
