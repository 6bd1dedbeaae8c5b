"""What belongs to a chain, and how what a tick asks for becomes one run of it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import yaml
from small_chain import ASSETS, CHAIN, keys, made

from millpond.automation.chains import Chain, find_chains
from millpond.automation.conditions import EXEMPTION, add_conditions
from millpond.automation.requests import CHAIN_TAG, merge_by_chain
from millpond.ingestion.spec import SourceSpec

SOURCE = """
source: s
rest: { base_url: "{url}" }
tables:
  - name: NAME
    key: [id]
    event_time: { column: at, unit: iso }
    endpoint: { path: rows }
    window: { params: { since: "{start_iso}", until: "{end_iso}" } }
    columns: { id: { type: string }, at: { type: timestamp } }
"""
CADENCE = {"cron": "0 * * * *", "lookback_days": 2}


def source(*tables: str, cadence: dict[str, Any] | None = CADENCE) -> SourceSpec:
    text = yaml.safe_load(SOURCE)
    (table,) = text["tables"]
    text["tables"] = [{**table, "name": name, "cadence": cadence} for name in tables]
    return SourceSpec.model_validate(text)


def request(*names: str, day: str | None = None) -> dg.RunRequest:
    tags = {"dagster/partition": day} if day else {}
    return dg.RunRequest(asset_selection=list(map(dg.AssetKey, names)), partition_key=day, tags=tags)


def asked(found: list[dg.RunRequest]) -> list[tuple[str, set[str], str | None, str | None]]:
    return [
        (
            each.tags[CHAIN_TAG],
            {key.to_user_string() for key in each.asset_selection or ()},
            each.tags.get("dagster/asset_partition_range_start") or each.tags.get("dagster/partition"),
            each.tags.get("dagster/asset_partition_range_end"),
        )
        for each in found
    ]


def test_a_chain_is_what_a_source_leads_to_and_a_calendar_belongs_to_none() -> None:
    (found,) = find_chains(ASSETS, [source("readings")])
    assert found == CHAIN


def test_sources_that_meet_in_a_model_are_one_chain_and_others_are_not() -> None:
    assets = [
        *ASSETS,
        made("dlt_events", []),
        made("counts", ["dlt_events", "calendar"]),
        made("dlt_meals", []),
        made("both", ["facts", "dlt_meals"]),
    ]
    events, both = find_chains(assets, [source("readings", "events", "meals")])
    assert (events.name, events.assets, events.given) == (
        "events",
        keys("dlt_events", "counts"),
        keys("calendar"),
    )
    assert both.name == "meals+readings"
    assert both.assets == CHAIN.assets | keys("dlt_meals", "both")


def test_a_source_without_a_cadence_is_not_loaded_by_itself_and_says_so() -> None:
    chains = find_chains(ASSETS, [source("readings", cadence=None)])
    assert chains == []
    for asset in add_conditions(ASSETS, chains, "UTC"):
        for spec in asset.specs:
            assert spec.automation_condition is None
            assert spec.metadata[EXEMPTION].startswith("none: ")


def test_all_that_a_tick_asks_of_a_chain_is_one_run_from_its_first_day_to_its_last() -> None:
    found = merge_by_chain(
        [
            request("dlt_readings", "facts", day="2026-11-22"),
            request("facts", day="2026-11-20"),
            request("overview", "mart", "calendar"),
        ],
        [CHAIN],
    )
    assert asked(found) == [
        ("readings", {"calendar", "dlt_readings", "facts", "overview", "mart"}, "2026-11-20", "2026-11-22")
    ]


def test_chains_run_apart_and_each_takes_the_calendar_it_reads() -> None:
    other = Chain("events", keys("dlt_events"), keys("calendar"), keys("dlt_events"), {})
    found = merge_by_chain(
        [request("dlt_readings", "dlt_events", day="2026-11-22"), request("calendar")], [other, CHAIN]
    )
    assert asked(found) == [
        ("events", {"calendar", "dlt_events"}, "2026-11-22", None),
        ("readings", {"calendar", "dlt_readings"}, "2026-11-22", None),
    ]


def test_a_calendar_alone_runs_once_and_nothing_asked_for_is_no_run() -> None:
    other = Chain("events", keys("dlt_events"), keys("calendar"), keys("dlt_events"), {})
    assert asked(merge_by_chain([request("calendar")], [other, CHAIN])) == [
        ("events", {"calendar"}, None, None)
    ]
    assert merge_by_chain([], [CHAIN]) == []
