"""Rows that break the contract go to quarantine with reason and payload; the rest of the day loads."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from fake_source import DAY, GOOD, Answer, Entries, FakeSource, reading
from millpond.ingestion.columns import OnBad
from millpond.ingestion.results import LoadResult
from millpond.ingestion.window import Quarantine
from source_tables import load_days, quarantined, raw, table_of

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no key", {"_id": ...}, "_id is missing"),
    ("an empty key", {"_id": ""}, "_id is missing"),
    ("a null key", {"_id": None}, "_id is missing"),
    ("no value", {"lux": ...}, "lux is missing"),
    ("a null value", {"lux": None}, "lux is missing"),
    ("text for a number", {"lux": "LOW"}, "lux is no whole number"),
    ("a fraction for a whole number", {"lux": 5.7}, "lux is no whole number"),
    ("a truth value for a number", {"lux": True}, "lux is no whole number"),
    ("a list for a number", {"lux": [100]}, "lux is no whole number"),
    ("a number beyond 64 bits", {"lux": 10**30}, "lux is no whole number"),
    ("a negative value", {"lux": -7}, "lux is below 1"),
    ("an absurd value", {"lux": 100_000}, "lux is above 1000"),
    ("two broken rules", {"_id": None, "lux": -1}, "_id is missing; lux is below 1"),
    ("SQL", {"lux": "1; drop table raw.climate_entries"}, "lux is no whole number"),
    ("a NUL character in the key", {"_id": "a\0b"}, "_id holds a NUL character"),
    ("NaN", {"lux": float("nan")}, "lux is no whole number"),
]


SIDE: list[tuple[str, object, str]] = [
    ("direction", "Sideways", "direction is none of the allowed values"),
    ("direction", "", "direction is none of the allowed values"),
    ("direction", ["Flat"], "direction is no text but an object or a list"),
    ("device", {"name": "x"}, "device is no text but an object or a list"),
    ("device", "a\0b", "device holds a NUL character"),
    ("filtered", float("inf"), "filtered is no number"),
    ("trend", "loud", "trend is no whole number"),
    ("trend", 4.5, "trend is no whole number"),
    ("unknownField", "a\0b", "unknown_field holds a NUL character"),
]
"""Bad values of columns that say something beside the reading."""


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return [reading(n, **{"_id": f"bad-{n:02}"} | changes) for n, (_, changes, _) in enumerate(BAD)]


def test_each_broken_rule_is_named_and_the_row_kept_as_it_came(
    server: FakeSource, everything: list[dict[str, Any]]
) -> None:
    server.serve = Entries(GOOD + everything)
    result = load_days(DAY, quarantine=Quarantine(fail_above=1))
    assert result.partitions[0].rows_loaded == len(GOOD)
    found = {row["payload"]: row["reason"] for row in quarantined()}
    expected = {json.dumps(row): reason for row, (_, _, reason) in zip(everything, BAD, strict=True)}
    assert found == expected


def test_a_bad_value_beside_the_reading_becomes_null_and_is_counted_and_the_reading_stays(
    server: FakeSource,
) -> None:
    server.serve = Entries(GOOD + [reading(n, **{name: value}) for n, (name, value, _) in enumerate(SIDE)])
    (day,) = load_days(DAY).partitions
    assert (day.rows_loaded, day.rows_quarantined) == (len(GOOD) + len(SIDE), 0)
    assert day.nulled == dict(Counter(reason for *_, reason in SIDE))
    names = {"unknownField": "unknown_field"}
    found = raw()[: len(SIDE)]
    assert [row[names.get(name, name)] for row, (name, *_) in zip(found, SIDE, strict=True)] == [None] * len(
        SIDE
    )
    assert [row["lux"] for row in found] == [100 + n for n in range(len(SIDE))]
    assert all(
        row["device"] == "test" for row, (name, *_) in zip(found, SIDE, strict=True) if name != "device"
    )


def test_a_column_says_what_its_bad_values_lead_to(server: FakeSource) -> None:
    columns = table_of("climate_entries")[1].columns
    server.serve = Entries([*GOOD, reading(0, direction="Sideways"), reading(1, lux="LOW")])

    def outcome(**on_bad: OnBad) -> LoadResult:
        changed = {name: columns[name].model_copy(update={"on_bad": word}) for name, word in on_bad.items()}
        return load_days(DAY, columns={**columns, **changed})

    strict = outcome(direction="quarantine").partitions[0]
    assert (strict.rows_quarantined, strict.nulled) == (2, {})
    lenient = outcome(lux="null").partitions[0]
    assert (lenient.rows_quarantined, lenient.values_nulled) == (0, 2)
    assert [row["lux"] for row in raw()[:2]] == [100, None]
    (error,) = outcome(direction="fail").failed.values()
    assert "direction is none of the allowed values, and the contract says on_bad: fail" in error.what
    assert len(raw()) == len(GOOD) + 2


@pytest.mark.parametrize(
    ("bad", "good", "quarantine", "fails"),
    [
        (4, 0, {}, False),
        (5, 0, {}, True),
        (5, 20, {}, False),
        (5, 19, {}, True),
        (1, 500, {"fail_above": 0}, True),
        (2, 0, {"fail_above": 0, "fail_at_least": 3}, False),
    ],
)
def test_a_day_fails_above_a_share_and_a_least_number_of_bad_rows(
    server: FakeSource, bad: int, good: int, quarantine: dict[str, Any], fails: bool
) -> None:
    rows = [reading(n, lux="LOW") for n in range(bad)] + [reading(n % 280) for n in range(bad, bad + good)]
    server.serve = Entries([row | {"_id": str(n)} for n, row in enumerate(rows)])
    assert bool(load_days(DAY, quarantine=Quarantine(**quarantine)).failed) is fails


def test_a_quarantined_row_knows_its_key_day_and_run(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, lux="LOW")])
    load_days(DAY)
    (row,) = quarantined("row_key", "_partition_date", "_run_id")
    assert row == {"row_key": "20261101-0000", "_partition_date": DAY, "_run_id": "test"}


@pytest.mark.parametrize("date", [..., None, "soon", "2026-11-01", 1e300, -(10**18), {"$date": 1}, True])
def test_a_row_without_a_usable_time_is_quarantined_on_the_day_around_it(
    server: FakeSource, date: object
) -> None:
    near = reading(5)["date"]
    server.serve = Entries([*GOOD, reading(5, date=date, _near=near)])
    result = load_days(DAY)
    assert result.partitions[0].rows_quarantined == 1
    (row,) = quarantined("reason", "_partition_date")
    assert row["reason"].startswith("date is ")
    assert row["_partition_date"] == DAY


def test_elements_that_are_no_objects_are_quarantined(server: FakeSource) -> None:
    body = (
        b"[" + b",".join([*(json.dumps(r).encode() for r in GOOD), b"null", b"7", b'"text"', b"[1]"]) + b"]"
    )
    server.serve = lambda _: Answer(body)
    load_days(DAY)
    assert {(r["payload"], r["reason"]) for r in quarantined()} == {
        (text, "row is no JSON object") for text in ("null", "7", '"text"', "[1]")
    }


def test_half_a_surrogate_spoils_its_row_only_and_the_text_is_kept(server: FakeSource) -> None:
    rows = [json.dumps(r).encode() for r in GOOD]
    server.serve = lambda _: Answer(b"[" + b",".join([*rows, rb'{"_id": "\ud800"}']) + b"]")
    assert load_days(DAY).partitions[0].rows_loaded == len(GOOD)
    assert quarantined("reason", "payload") == [
        {"reason": "row is not valid JSON", "payload": r'{"_id": "\ud800"}'}
    ]


def test_a_row_with_bytes_that_are_no_text_is_to_blame_alone(server: FakeSource) -> None:
    bad = [b"\xed\xa0\x80", b"\xff", b"\xc3", rb"\ud83d\ude00"[:6] + b"\xfe"]
    rows = [json.dumps(r).encode() for r in GOOD]
    rows += [b'{"_id": "bad-%d", "device": "%s"}' % (n, text) for n, text in enumerate(bad)]
    server.serve = lambda _: Answer(b"[" + b",".join(rows) + b"]")
    assert load_days(DAY).partitions[0].rows_loaded == len(GOOD)
    assert quarantined("reason") == ["row is not valid JSON"] * len(bad)


def test_no_content_is_no_rows_and_a_page_of_another_kind_is_named(server: FakeSource) -> None:
    server.serve = lambda _: Answer(b"", status=204)
    assert load_days(DAY).partitions[0].rows_in_source == 0
    server.serve = lambda _: Answer(b"<html>Sign in", headers={"Content-Type": "text/html; charset=utf-8"})
    (error,) = load_days(DAY).failed.values()
    assert "it looks like a login page; content type text/html; charset=utf-8" in error.what


def test_a_huge_row_is_quarantined_cut_off_and_the_day_loads(server: FakeSource) -> None:
    server.serve = Entries([*GOOD, reading(0, device="x" * 3_000_000)])
    result = load_days(DAY, quarantine=Quarantine(max_row_bytes=10_000))
    assert result.partitions[0].rows_loaded == len(GOOD)
    (row,) = quarantined("reason", "payload")
    assert row["reason"] == "row is larger than 10000 bytes"
    assert len(row["payload"]) == 10_000
