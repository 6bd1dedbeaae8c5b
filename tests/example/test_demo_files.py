"""The demo's meter and diary: files that are made up, the same each time, and reach up to the present."""

from __future__ import annotations

import csv
import datetime as dt
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import time_machine

from millpond.errors import NoSourceAddress, OriginChanged
from millpond.ingestion.spec import SourceSpec
from millpond.runtime.demo_source import mark_demo_home, meals
from millpond.runtime.demo_source.files import write_demo_files
from millpond.runtime.home import layout
from millpond.settings import Settings, settings
from source_tables import load_days, raw, table_of

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
Entries = dict[int, tuple[int, object, int]]


def written(at: dt.datetime) -> tuple[dict[str, str], Entries]:
    """Return the meter's files by name, and the diary's entries, as they are at a moment."""
    with time_machine.travel(at, tick=False):
        folder = Path(write_demo_files(settings(), "meter"))
        database = write_demo_files(settings(), "diary").removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("select id, recorded_at, carbs_g, updated_at from entries").fetchall()
    return {file.name: file.read_text() for file in folder.iterdir()}, {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_each_file_has_the_rows_of_its_day_and_none_is_of_a_day_to_come(
    home: object, configure: Callable[..., Settings], zone: str
) -> None:
    configure(timezone=zone, start_date=dt.date(2026, 7, 1))
    files, _ = written(NOON)
    for name, text in files.items():
        day = name.removeprefix("meter_").removesuffix(".csv")
        assert {row["measured_at"][:10] for row in csv.DictReader(text.splitlines())} == {day}
    newest = max(files).removeprefix("meter_").removesuffix(".csv")
    assert dt.date.fromisoformat(newest) <= NOON.astimezone(ZoneInfo(zone)).date()
    days = (NOON.date() - dt.date(2026, 7, 1)).days
    assert days * 0.8 < len(files) <= days + 1
    assert zone != "UTC" or len(files) < days + 1  # some days have no finger stick


def test_time_that_passes_adds_rows_corrects_amounts_and_changes_no_former_file(
    home: object, configure: Callable[..., Settings]
) -> None:
    configure(timezone="UTC", start_date=dt.date(2026, 10, 1))
    files, entries = written(NOON)
    later_files, later = written(NOON + dt.timedelta(days=10))
    today = f"meter_{NOON.date()}.csv"
    assert later_files.items() >= {item for item in files.items() if item[0] != today}
    assert len(later_files) > len(files)
    assert later.keys() > entries.keys()
    corrected = {key for key in entries if later[key] != entries[key]}
    assert all(later[key][2] > entries[key][2] for key in corrected)
    assert sum(row[2] > row[0] for row in later.values()) > 5
    assert written(NOON + dt.timedelta(days=10)) == (later_files, later)
    assert written(NOON) == (files, entries)  # a clock that is put back


def test_a_file_that_is_current_is_not_written_again(home: object) -> None:
    folder = Path(write_demo_files(settings(), "meter"))
    before = os.stat(folder.parent / "diary.db").st_ino
    write_demo_files(settings(), "diary")
    assert os.stat(folder.parent / "diary.db").st_ino == before


def test_most_meals_come_before_a_rise_of_the_recorded_glucose() -> None:
    _, rows = meals.meals()
    assert 2.5 < len(rows) / 196 < 4
    assert any(isinstance(row.carbs_g, str) for row in rows)
    offsets, values = meals._read()
    replay, _ = meals.meals()
    rises = []
    for at in replay.offsets.tolist():
        near = values[(offsets >= at) & (offsets <= at + 2 * 3_600_000)]
        if len(near) > 12:
            rises.append(int(near.max()) - int(near[0]))
    assert sorted(rises)[len(rises) // 4] > 20


def test_the_meter_and_the_diary_are_loaded_in_a_demo_home_and_elsewhere_need_an_address(
    home: object, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    first = settings().start_date + dt.timedelta(days=30)
    last = first + dt.timedelta(days=20)
    for table, key in (("meter_readings", "record_id"), ("diary_entries", "id")):
        loaded = load_days(first, last, table=table)
        assert not loaded.failed
        assert sum(day.rows_quarantined for day in loaded.partitions) > 0
        assert len(raw(key, table=f"raw.{table}", key=key)) > 30
    assert (
        sum(day.duplicates_dropped for day in load_days(first, last, table="meter_readings").partitions) > 0
    )
    configure(meter_url=str(tmp_path))
    with pytest.raises(OriginChanged, match=r"raw\.meter_readings holds demo data"):
        load_days(first, table="meter_readings")
    (layout(settings()).root / "demo").unlink()
    try:
        with pytest.raises(NoSourceAddress, match="MILLPOND_DIARY_URL is not set"):
            load_days(first, table="diary_entries")
    finally:
        mark_demo_home(settings())


def test_a_demo_source_elsewhere_stands_for_the_files_as_well(
    home: object, configure: Callable[..., Settings]
) -> None:
    configure(diary_url="http://127.0.0.1:9", demo_url="http://127.0.0.1:9")
    assert not load_days(settings().start_date + dt.timedelta(30), table="diary_entries").failed


def test_demo_data_is_of_the_kind_of_its_source() -> None:
    source, _ = table_of("meter_readings")
    with pytest.raises(ValueError, match="demo: diary is for a source with sql"):
        SourceSpec.model_validate(source.model_dump(exclude_unset=True) | {"demo": "diary"})
