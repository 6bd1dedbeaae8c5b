"""The sensor of files asks for the days of new and changed ones, each version once."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

import pytest
from file_sources import DAY, NEXT, Drop, sales

from millpond.ingestion.files.arrivals import Arrivals, find_arrivals
from millpond.ingestion.files.known import FileDays, read_known, record
from millpond.ingestion.files.reader import FileReader
from millpond.partitions import Window
from millpond.runtime.databases import databases
from millpond.settings import settings

pytestmark = pytest.mark.usefixtures("clock")
TODAY, LATER = dt.date(2026, 1, 10), dt.date(2026, 1, 7)
NEWS = {"news": {"every": "1m"}}


def row(number: int, day: dt.date = DAY) -> str:
    return f"id,at\n{number},{day}T10:00:00Z\n"


class Looking:
    """Looks as the sensor does: each goes on from the number of the one before."""

    def __init__(self, drop: Drop, path: str = "sales_{date}.csv", **files: Any) -> None:
        self.drop, self.spec, self.tick = drop, drop.spec(path, table=NEWS, **files), 0

    def look(self, keep: bool = True) -> Arrivals:
        found = find_arrivals(self.spec, self.spec.tables[0], self.tick)
        self.tick = found.tick if keep else self.tick
        return found

    def days(self) -> list[str]:
        return [str(window) for window in self.look().windows]


def test_a_new_file_asks_for_its_day_once(drop: Drop) -> None:
    looking = Looking(drop)
    assert looking.days() == []
    drop.put("sales_2026-01-05.csv", row(1))
    assert looking.days() == ["2026-01-05"]
    assert looking.days() == []
    drop.put("sales_2026-01-06.csv", row(2, NEXT))
    assert looking.days() == ["2026-01-06"]


def test_the_same_name_with_new_content_is_a_new_event_also_of_the_same_size_and_time(drop: Drop) -> None:
    looking = Looking(drop)
    before = drop.put("sales_2026-01-05.csv", row(1)).stat()
    assert looking.days() == ["2026-01-05"]
    changed = drop.put("sales_2026-01-05.csv", row(2))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert looking.days() == ["2026-01-05"]
    assert looking.days() == []


def test_a_file_that_was_loaded_already_asks_for_nothing(drop: Drop) -> None:
    looking = Looking(drop)
    drop.put("sales_2026-01-05.csv", row(1))
    assert not drop.load(looking.spec).failed
    assert looking.days() == []


def test_a_day_that_was_loaded_is_due_in_no_file_that_has_not_changed_whatever_its_name(drop: Drop) -> None:
    spec = drop.spec("sales_{date}.csv")
    table, zone = spec.tables[0], settings().zone
    for day in (DAY, NEXT, LATER):
        drop.put(f"sales_{day}.csv", row(1, day))
    reader, both = FileReader.of(spec, table, settings()), frozenset({DAY, LATER})
    record(table, zone, {each.entry: FileDays(both, both) for each in reader.find_files(zone)})
    drop.put(f"sales_{NEXT}.csv", row(2, NEXT))
    assert [each.day for each in reader.find_files(zone, Window.of_day(DAY))] == [DAY]
    assert not drop.load(spec).failed
    assert {path: known.due for path, known in read_known(table, zone).items()} == {
        f"sales_{DAY}.csv": {LATER},
        f"sales_{NEXT}.csv": both,
        f"sales_{LATER}.csv": {LATER},
    }


def test_a_look_whose_requests_were_not_kept_asks_for_the_same_again(drop: Drop) -> None:
    looking = Looking(drop)
    drop.put("sales_2026-01-05.csv", row(1))
    lost = looking.look(keep=False)
    drop.put("sales_2026-01-06.csv", row(2, NEXT))
    assert looking.look() == lost
    assert looking.days() == ["2026-01-06"]


def test_a_file_that_may_still_be_written_waits(drop: Drop) -> None:
    looking = Looking(drop, stable_after="1h")
    file, now = drop.put("sales_2026-01-05.csv", row(1)), time.time()
    os.utime(file, (now, now))
    assert looking.days() == []
    os.utime(file, (now, now - 7200))
    assert looking.days() == ["2026-01-05"]


def test_the_days_of_rows_are_found_in_files_without_a_day_in_their_name(drop: Drop) -> None:
    looking = Looking(drop, "**/*.csv")
    drop.put("2026/export.csv", row(1) + f"2,{NEXT}T10:00:00Z\n")
    assert looking.days() == ["2026-01-05...2026-01-06"]
    drop.put("2026/export.csv", row(1))
    assert looking.days() == ["2026-01-05...2026-01-06"], "the day that lost its row is loaded too"
    assert not drop.load(looking.spec, DAY, NEXT).failed
    assert sales("id") == [1]


def test_a_file_that_cannot_be_read_fails_the_load_of_today_once(drop: Drop) -> None:
    looking = Looking(drop, "*.csv")
    drop.put("broken.csv", b"\x1f\x8b\x08not what its name says")
    drop.put("good.csv", row(1))
    assert looking.days() == [str(DAY), str(TODAY)]
    assert looking.days() == []


def list_unlisted() -> list[str]:
    """Return the names of the files that are known and that the last look did not find."""
    with databases().ops.connect() as connection:
        found = connection.execute("select path from known_files where unlisted_since is not null")
        return [path.rpartition("/")[2] for (path,) in found.fetchall()]


def test_deleted_files_and_days_to_come_ask_for_nothing(drop: Drop) -> None:
    looking = Looking(drop)
    file = drop.put("sales_2026-01-05.csv", row(1))
    drop.put("sales_2026-02-31.csv", row(2))
    drop.put("sales_2026-01-11.csv", row(3, dt.date(2026, 1, 11)))
    assert looking.days() == ["2026-01-05"]
    file.unlink()
    assert looking.days() == []
    assert list_unlisted() == ["sales_2026-01-05.csv"]
    drop.put("sales_2026-01-05.csv", row(1))
    looking.days()
    assert list_unlisted() == []


def test_ten_thousand_files_are_listed_in_two_seconds_and_each_is_asked_for_once(drop: Drop) -> None:
    for number in range(10_000):
        (drop.folder / f"s{number}_2026-01-0{1 + number % 9}.csv").write_text("id,at\n")
    looking = Looking(drop, "s*_{date}.csv")
    first = looking.look()
    assert (first.files, first.windows) == (
        10_000,
        [Window.of_days(dt.date(2026, 1, 1), dt.date(2026, 1, 9))],
    )
    began = time.process_time()
    assert looking.look().files == 0
    assert time.process_time() - began < 2
