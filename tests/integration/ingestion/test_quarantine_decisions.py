"""Rows in quarantine that are discarded, chosen by rule, or replayed at once and by killed processes."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from replays import GOOD, REFUSED, columns, kept, recorded, settle, settle_without_maximum

from fake_source import DAY, Entries, FakeSource, reading
from millpond.errors import OriginChanged
from millpond.ingestion import origins
from millpond.ingestion.quarantine import count_chosen, list_rows, matches, rules_of
from millpond.lake import read
from processes import exit_code
from source_tables import load_days, quarantined, raw, table_of


def test_discarded_rows_are_gone_and_counted(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500), reading(1, lux="LOW")])
    first = load_days(DAY)
    result = settle(discard=True, rule="lux:type", previous=recorded(first))
    (day,) = result.partitions
    assert (day.rows_in_source, day.rows_loaded, day.rows_quarantined, day.discarded) == (22, 20, 1, 1)
    assert day.content_hash == first.partitions[0].content_hash
    assert quarantined("reason") == ["lux is above 1000"]
    result = settle(discard=True, previous=recorded(result))
    assert (result.partitions[0].discarded, quarantined(), len(raw())) == (2, [], 20)


def test_discarding_a_refused_day_leaves_the_day_as_it_is_loaded(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux="LOW")])
    load_days(DAY)
    server.serve = Entries([reading(n, lux="LOW") for n in range(9)])
    load_days(DAY)
    _, table = table_of("climate_entries")
    assert count_chosen(table, "main", None, None) == {DAY: 9}
    result = settle(discard=True)
    assert (result.partitions, kept()) == ([], [])
    assert (len(raw()), len(quarantined())) == (20, 1)


def test_rows_of_a_refused_day_from_another_server_are_not_mixed_with_those_that_are_loaded(
    server: FakeSource,
) -> None:
    server.serve = Entries([reading(n, lux="LOW") for n in range(9)])
    load_days(DAY)
    source, table = table_of("climate_entries")
    origins.record(origins.Origin(source.source, table.raw_table, "elsewhere.example.org"))
    with pytest.raises(OriginChanged, match="refused days are from"):
        settle(
            columns=columns(lux={"type": "string", "min": None, "max": None, "round": None, "no_value": None})
        )
    assert (raw(), len(kept())) == ([], 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["ingestion.replay_judged", "lake.metadata_written", "ingestion.replay_written"]
)
def test_a_replay_that_is_killed_loses_and_doubles_nothing(server: FakeSource, place: str) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500), reading(1, lux="LOW")])
    first = load_days(DAY)
    assert exit_code(settle_without_maximum, crash_at=[place]) == -signal.SIGKILL
    assert len(raw()) + len(quarantined()) == 22
    (day,) = settle(columns=columns(lux={"max": None}), previous=recorded(first)).partitions
    assert (day.rows_loaded, day.rows_quarantined) == (21, 1)
    assert (len(raw()), len(quarantined())) == (21, 1)


def test_replays_at_once_move_each_row_once(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, *[reading(n, lux=1500) for n in range(4)]])
    load_days(DAY)
    changed = columns(lux={"max": None})
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: settle(columns=changed), range(4)))
    assert all(not result.failed for result in results)
    assert (len(raw()), len(set(raw("_id"))), quarantined()) == (24, 24, [])


@pytest.mark.slow
@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(st.one_of(st.integers(-50, 2000), st.sampled_from(["LOW", None, 120.6])), max_size=12),
    top=st.integers(500, 2500),
    refused=st.booleans(),
)
def test_what_is_loaded_after_a_replay_is_what_passes_the_new_contract(
    server: FakeSource, values: list[Any], top: int, refused: bool
) -> None:
    rows = [*GOOD, *[reading(n, lux=value) for n, value in enumerate(values)]]
    server.serve = Entries(rows)
    _, table = table_of("climate_entries")
    strict = table.quarantine.model_copy(update={"fail_above": 0.0 if refused else 1.0, "fail_at_least": 1})
    lenient = table.quarantine.model_copy(update={"fail_above": 1.0})
    load_days(DAY, quarantine=lenient, columns=columns())
    if refused:
        load_days(DAY, quarantine=strict)
    for _ in range(2):
        assert not settle(columns=columns(lux={"max": top}), quarantine=lenient).failed

    most = top if refused else max(top, 1000)  # what was loaded by the former contract stays

    def passes(value: Any) -> bool:
        return isinstance(value, int | float) and 0 <= value <= most

    expected = sorted(row["_id"] for row in rows if passes(row["lux"]))
    assert sorted(raw("_id")) == expected
    assert len(quarantined()) == len(rows) - len(expected)


@pytest.mark.parametrize(
    ("reason", "rules"),
    [
        ("sgv is no whole number", ["sgv:type"]),
        ("sgv is not an integer; date is missing", ["sgv:type", "date:missing"]),
        ("sgv is below 1", ["sgv:min"]),
        ("sgv is above 1000; sgv is none of the allowed values", ["sgv:max", "sgv:allowed"]),
        ("_id holds a NUL character", ["_id:nul"]),
        ("row is larger than 300 bytes", ["row:size"]),
        ("row is not valid JSON", ["row:json"]),
        ("row is no JSON object", ["row:json"]),
        (None, []),
    ],
)
def test_a_rule_is_named_by_its_column_and_kind_whatever_the_reason_reads_like(
    reason: str | None, rules: list[str]
) -> None:
    assert rules_of(reason) == rules
    for rule in rules:
        assert matches(rule, reason)
        assert matches(rule.partition(":")[0], reason)
        assert not matches("other", reason)


def test_rows_are_listed_with_their_rules_and_payload(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux=1500, _id="")])
    load_days(DAY)
    _, table = table_of("climate_entries")
    (row,) = list_rows(table, "main", None, "_id")
    assert (row.rules, row.refused) == (["_id:missing", "lux:max"], False)
    assert json.loads(row.payload)["lux"] == 1500
    assert read.exists("main", REFUSED) is False
