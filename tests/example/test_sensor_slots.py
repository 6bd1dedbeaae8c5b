"""The rule of one reading per sensor slot, tried on the model's own SQL and against its oracle."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from model_oracle import glucose_readings

from millpond.settings import settings
from millpond.transform.invocation import invoke
from millpond.transform.manifest import ParsedProject

Entry = tuple[str, str, int]
"""Id, device and time in milliseconds."""
START = int(dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp() * 1000)
SLOT, DAY = 300_000, 86_400_000
OFFSETS = (0, 3, 75, 140, 148, 149, 150, 151, 155, 200)


class Slots:
    """The model, compiled once, and what it keeps of given entries."""

    def __init__(self, sql: str, database: Path) -> None:
        self._sql, self._connection = sql, duckdb.connect(str(database))
        self._connection.execute("set TimeZone = 'UTC'")

    def kept(self, entries: list[Entry]) -> list[str]:
        rows = [
            (key, device, at * 1000, (START + (at - START) // DAY * DAY) * 1000)
            for key, device, at in entries
        ]
        self._connection.execute("delete from bronze.stg_glucose_entries")
        values = ", ".join(
            f"('{key}', '{device}', 100, make_timestamptz({at}), make_timestamp({day})::date)"
            for key, device, at, day in rows
        )
        self._connection.execute(
            "insert into bronze.stg_glucose_entries"
            f" (entry_id, device, glucose_mg_dl, reading_at, _partition_date) values {values}"
        )
        found = [key for (key,) in self._connection.sql(f"select entry_id from ({self._sql})").fetchall()]
        raw: list[dict[str, Any]] = [
            {"_id": k, "device": d, "date": at, "sgv": 100, "type": "sgv"} for k, d, at in entries
        ]
        assert sorted(found) == sorted(glucose_readings(raw, ZoneInfo("UTC")))
        return found


@pytest.fixture(scope="module")
def compiled() -> list[str]:
    return []


@pytest.fixture
def slots(compiled: list[str], parsed: ParsedProject, unit_database: Path) -> Slots:
    if not compiled:
        ran = invoke(
            ["compile", "--select", "fct_glucose_readings", "--no-write-json"],
            settings=settings(),
            target="unit",
            manifest=parsed.load_manifest(),
            variables={"unit_database": str(unit_database)},
        )
        compiled += [
            r.node.compiled_code for r in ran.result.results if r.node.name == "fct_glucose_readings"
        ]
    return Slots(compiled[0].replace('"lake"."bronze"', '"bronze"'), unit_database)


def uploads(
    seed: int, device: str, offset: int = 0, jitter: int = 0, days: int = 1, lost: float = 0, phase: int = 0
) -> list[Entry]:
    """Return what a device uploads every five minutes, `offset` and at most `jitter` seconds off."""
    drawn = random.Random(seed)
    return [
        (
            f"{device}{n:04}",
            device,
            START + phase + n * SLOT + offset * 1000 + drawn.randint(-jitter, jitter) * 1000,
        )
        for n in range(288 * days)
        if drawn.random() >= lost
    ]


def test_two_uploaders_have_288_readings_a_day_however_far_apart_they_upload(slots: Slots) -> None:
    for offset in OFFSETS:
        for jitter in (0, 3):
            one = uploads(offset, "a", jitter=jitter, phase=60_000)
            two = uploads(offset + 1, "b", offset, jitter, phase=60_000)
            within = [entry for entry in one + two if entry[2] < START + DAY]
            assert len(slots.kept(within)) == 288, (offset, jitter)


def test_each_day_of_a_row_has_288_readings_wherever_midnight_falls(slots: Slots) -> None:
    for offset in (3, 150, 297):
        for phase in (1_000, 299_000):
            one = uploads(offset, "a", jitter=2, days=4, phase=phase)
            two = uploads(offset + 1, "b", offset, 2, days=4, phase=phase)
            times = {key: at for key, _, at in one + two}
            per_day = Counter((times[key] - START) // DAY for key in slots.kept(one + two))
            assert all(abs(per_day[day] - 288) <= 1 for day in (1, 2)), (offset, phase, per_day)


def test_no_reading_of_a_lone_uploader_is_left_out(slots: Slots) -> None:
    for seed in range(6):
        drawn = random.Random(seed)
        rows = uploads(
            seed, "a", jitter=drawn.choice([0, 1, 10, 30, 37]), lost=drawn.choice([0, 0.1, 0.5, 0.95])
        )
        assert rows
        assert len(slots.kept(rows)) == len(rows)
    restarted = uploads(1, "a", jitter=10)[:100] + [
        (f"r{k}", d, at + 137_000) for k, d, at in uploads(2, "a", jitter=10)[101:]
    ]
    assert len(slots.kept(restarted)) == len(restarted)
    drifting = [
        (k, d, at + n * 1_040)
        for n, (k, d, at) in enumerate(uploads(1, "a", jitter=5))
        if at + n * 1_040 < START + DAY
    ]
    assert len(slots.kept(drifting)) == len(drifting)


def test_what_one_uploader_lost_another_fills_in(slots: Slots) -> None:
    for offset in (3, 150):
        one, two = uploads(1, "a", jitter=3, lost=0.2), uploads(2, "b", offset, 3, lost=0.2)
        kept = len(slots.kept(one + two))
        slots_had = [
            {int(key[1:]) for key, *_ in one} | {int(key[1:]) + ahead for key, *_ in two} for ahead in (0, 1)
        ]
        assert min(abs(kept - len(had)) for had in slots_had) <= 1, offset
