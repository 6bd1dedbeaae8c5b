"""Rows in quarantine are kept also of days that were refused, and loaded once when the contract lets them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from replays import GOOD, NEXT, break_off, columns, counts, kept, recorded, settle

from fake_source import DAY, Answer, Entries, FakeSource, reading
from millpond.errors import ConfigError, FieldsMissing, RowsHeldBack, TooManyBadRows
from millpond.ingestion.acceptance import accept_held
from millpond.ingestion.columns import Column
from millpond.ingestion.quarantine import rules_of
from millpond.ingestion.replay import Decision, replay
from millpond.lake import refs
from millpond.lake.merge import merge
from millpond.partitions import Window
from source_tables import load_days, quarantined, raw, table_of


def test_all_rows_of_a_refused_day_are_kept_and_those_of_the_day_as_loaded_stay(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux="LOW")])
    assert not load_days(DAY).failed
    loaded, bad = raw(), quarantined()
    sent = [*[reading(n, lux=-n) for n in range(10)], *GOOD]
    server.serve = Entries(sent)
    (error,) = load_days(DAY).failed.values()
    assert isinstance(error, TooManyBadRows)
    assert "millpond quarantine replay dlt_climate_entries --partition 2026-11-01" in error.next_step
    assert (raw(), quarantined()) == (loaded, bad)
    assert sorted(map(json.loads, kept("payload")), key=lambda row: row["_id"]) == sent
    assert [row["_id"] for row in map(json.loads, kept("payload"))][:1] == [GOOD[-1]["_id"]], "as served"
    assert set(kept("refused")) == {error.what}
    assert counts() == [(DAY, "lux:type", 1, False), (DAY, "lux:min", 9, True), (DAY, None, 21, True)]


def test_a_day_that_is_loaded_or_refused_again_replaces_what_was_kept(server: FakeSource) -> None:
    server.serve = Entries([reading(n, day, lux="LOW") for day in (DAY, NEXT) for n in range(6)])
    load_days(DAY, NEXT)
    server.serve = Entries([reading(n, lux=5000) for n in range(7)])
    load_days(DAY)
    assert counts() == [(DAY, "lux:max", 7, True), (NEXT, "lux:type", 6, True)]
    server.serve = Entries(GOOD)
    assert not load_days(DAY).failed
    assert counts() == [(NEXT, "lux:type", 6, True)]


def test_a_refused_day_is_loaded_whole_from_its_own_rows_though_the_source_is_down(
    server: FakeSource,
) -> None:
    rows = [*GOOD, GOOD[0], *[reading(n, lux=2000 + n) for n in range(20)], reading(50, lux="LOW")]
    server.serve = Entries(rows)
    assert load_days(DAY).failed
    break_off(server)
    changed = columns(lux={"max": 3000})
    result = settle(columns=changed)
    assert (result.failed, server.requests) == ({}, [])
    (day,) = result.partitions
    assert (day.rows_in_source, day.rows_loaded, day.rows_quarantined, day.duplicates_dropped) == (
        42,
        40,
        1,
        1,
    )
    assert kept() == []
    again = settle(columns=changed, previous=recorded(result))
    assert (again.partitions, again.failed) == ([], {})
    found = (raw(*columns()), quarantined("payload", "reason"))
    server.serve = Entries(rows)
    assert load_days(DAY, columns=changed).partitions[0].content_hash == day.content_hash
    assert (raw(*columns()), quarantined("payload", "reason")) == found


def test_a_day_that_is_refused_again_says_why_and_keeps_its_rows_with_the_new_reasons(
    server: FakeSource,
) -> None:
    server.serve = Entries([reading(n, lux=2000) for n in range(10)])
    load_days(DAY)
    (error,) = settle(columns=columns(lux={"max": None, "min": 2001})).failed.values()
    assert "lux is below 2001 (10)" in error.what
    assert (counts(), raw()) == ([(DAY, "lux:min", 10, True)], [])


def test_a_day_whose_field_was_renamed_is_loaded_once_the_spec_says_so(server: FakeSource) -> None:
    server.serve = Entries([reading(n, lux=..., brightness=100) | {"type": "tmp"} for n in range(20)])
    first = load_days(DAY, columns=columns(lux={"required_when": None}))
    assert isinstance(first.failed[DAY], FieldsMissing)
    break_off(server)
    result = settle(columns=columns(lux={"field": "brightness"}))
    assert not result.failed
    assert raw("lux") == [100] * 20


def test_rows_that_pass_the_changed_contract_join_the_loaded_ones_once(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500), reading(1, lux="LOW"), reading(2, lux=1600)])
    first = load_days(DAY)
    break_off(server)
    changed = columns(lux={"max": 1550})
    result = settle(columns=changed, previous=recorded(first))
    (day,) = result.partitions
    assert (day.rows_in_source, day.rows_loaded, day.rows_quarantined) == (23, 21, 2)
    assert day.content_hash != first.partitions[0].content_hash
    assert [row["_id"] for row in raw() if row["_run_id"] == "replay"] == [reading(0)["_id"]]
    assert sorted(quarantined("reason")) == ["lux is above 1550", "lux is no whole number"]
    assert set(quarantined("_run_id")) == {"test"}
    for _ in range(2):
        again = settle(columns=changed, previous=recorded(result))
        assert (again.partitions, again.failed, len(raw())) == ([], {}, 21)
    assert server.requests == []


def test_a_rule_chooses_rows_and_the_others_stay_as_they_are(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500), reading(1, lux=-5), reading(2, _id="", lux=-5)])
    load_days(DAY)
    wide = columns(lux={"max": None, "min": None})
    settle(columns=wide, rule="lux:max")
    assert (len(raw()), len(quarantined())) == (21, 2)
    settle(columns=wide, rule="lux")
    assert (len(raw()), quarantined("reason")) == (22, ["_id is missing"])
    settle(columns=wide, rule="lux")
    assert len(quarantined()) == 1


@pytest.mark.parametrize(
    ("sent_at", "wins"), [("2026-11-02", True), ("2026-10-31", False), ("2026-11-01", False)]
)
def test_of_a_key_that_is_loaded_already_the_later_version_stays(
    server: FakeSource, sent_at: str, wins: bool
) -> None:
    server.serve = Entries(
        [
            *GOOD,
            reading(0, sysTime="2026-11-01", device="a", lux=100),
            reading(0, sysTime=sent_at, device="b", lux=2000),
        ]
    )
    first = load_days(DAY, key=("_id", "device"))
    assert first.partitions[0].rows_quarantined == 1
    result = settle(columns=columns(lux={"max": None}), previous=recorded(first))
    (day,) = result.partitions
    assert (day.rows_in_source, day.rows_loaded, day.rows_quarantined, day.duplicates_dropped) == (
        22,
        21,
        0,
        1,
    )
    assert raw("lux")[0] == (2000 if wins else 100)
    assert len(raw("_id")) == len(set(raw("_id")))


@pytest.mark.parametrize(
    "changes",
    [
        {"key": ("place",)},
        {"columns": columns() | {"at": Column(type="string")}},
        {"columns": columns() | {"at": columns()["date"]}},
    ],
    ids=["no key", "another day", "another type"],
)
def test_a_contract_that_does_not_go_with_the_loaded_rows_moves_nothing(
    server: FakeSource, changes: dict[str, Any]
) -> None:
    at = {"at": reading(0, NEXT)["date"]}
    server.serve = Entries([*[row | at for row in GOOD], reading(0, lux="LOW", **at)])
    load_days(DAY)
    _, table = table_of("climate_entries")
    if "columns" in changes:
        changes["event_time"] = table.event_time.model_copy(update={"column": "at"})
    with pytest.raises(ConfigError, match="millpond materialize dlt_climate_entries --partition 2026-11-01"):
        settle(**changes)
    assert (len(raw()), len(quarantined())) == (20, 1)


def test_accepting_rows_that_were_held_back_drops_what_was_refused_before(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, *[reading(n) for n in range(30)]])
    load_days(DAY)
    server.serve = Entries([reading(n, lux="LOW") for n in range(9)])
    load_days(DAY)
    server.serve = Entries(GOOD)
    assert isinstance(load_days(DAY).failed[DAY], RowsHeldBack)
    assert len(kept()) == 9
    _, table = table_of("climate_entries")
    accept_held(table, Window.of_day(DAY), ref="main", run_id="accept")
    assert (len(raw()), kept()) == (20, [])


def test_a_replay_that_would_lose_too_many_loaded_rows_is_held_back_and_loses_nothing(
    server: FakeSource,
) -> None:
    server.serve = Entries([*GOOD, *[reading(n) for n in range(30)]])
    load_days(DAY)
    server.serve = Entries([reading(n, lux=2000) for n in range(9)])
    load_days(DAY)
    wide = columns(lux={"max": None})
    assert isinstance(settle(columns=wide).failed[DAY], RowsHeldBack)
    assert (len(raw()), len(kept())) == (50, 9)


def test_a_replay_on_a_branch_leaves_main_alone_until_it_is_merged(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500)])
    load_days(DAY)
    refs.create("dev")
    source, table = table_of("climate_entries", columns=columns(lux={"max": None}))
    replay(source, table, Window.of_day(DAY), Decision(None, "dev", "replay"), {})
    assert (len(raw()), len(quarantined())) == (20, 1)
    merge("dev")
    assert (len(raw()), quarantined()) == (21, [])


def test_a_bad_row_never_takes_the_place_of_a_loaded_one(server: FakeSource) -> None:
    sent = [reading(0, sysTime="1", device="a"), reading(0, sysTime="2", device="b", lux="LOW")]
    server.serve = Entries([*GOOD, *sent])
    load_days(DAY, key=("_id", "device"))
    settle()
    assert (len(raw()), quarantined("reason")) == (21, ["lux is no whole number"])


def test_rows_that_are_no_json_object_stay_and_harm_no_other(server: FakeSource) -> None:
    body = json.dumps([*GOOD, reading(0, lux=1500)]).encode()[:-1] + b', 17, "text", [1], {"_id": NaN}]'
    server.serve = lambda request: Answer(body) if len(server.requests) < 2 else Answer()
    assert not load_days(DAY).failed
    before = len(quarantined())
    settle(columns=columns(lux={"max": None}))
    assert (len(raw()), len(quarantined())) == (21, before - 1)
    assert {rule for reason in quarantined("reason") for rule in rules_of(reason)} >= {"row:json"}


def test_a_row_that_is_stored_in_part_is_never_loaded(server: FakeSource) -> None:
    _, table = table_of("climate_entries")
    small = table.quarantine.model_copy(update={"max_row_bytes": 300})
    server.serve = Entries([*GOOD, reading(0, note="x" * 400)])
    load_days(DAY, quarantine=small)
    settle(quarantine=small)
    settle()
    (row,) = quarantined("reason", "payload")
    assert rules_of(row["reason"]) == ["row:size"]
    assert len(row["payload"]) == 300


def test_a_row_whose_time_could_not_be_read_goes_to_its_own_day_if_that_is_replayed_too(
    server: FakeSource,
) -> None:
    first = reading(0, NEXT)
    odd = first | {"date": "x", "at": first["date"], "_near": reading(110)["date"]}
    server.serve = Entries([*GOOD, *[reading(n, NEXT) for n in range(1, 10)], odd])
    assert not load_days(DAY, NEXT).failed
    assert quarantined("_partition_date") == [DAY]
    changed = columns(date={"field": "at"})
    settle(DAY, columns=changed)
    assert quarantined("_partition_date", "reason") == [
        {"_partition_date": DAY, "reason": "date is of another day"}
    ]
    result = settle(DAY, NEXT, columns=changed)
    assert [(day.partition, day.rows_loaded) for day in result.partitions] == [(DAY, 20), (NEXT, 10)]
    assert quarantined() == []
