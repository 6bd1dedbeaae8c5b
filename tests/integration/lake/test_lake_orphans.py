"""Files that nothing leads to go by age; whatever a ref, a branch's base or a pin shows stays."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest

from lake_readings import found, write
from millpond.lake import pins, read, refs
from millpond.lake.catalog import warehouse_uri
from millpond.lake.housekeeping import remove_orphans

pytestmark = pytest.mark.usefixtures("home")


def warehouse() -> Path:
    return Path(warehouse_uri().removeprefix("file://"))


def aged(days: float = 8) -> None:
    """Make every file of the warehouse look as if it were so old."""
    then = time.time() - days * 86400
    for file in warehouse().rglob("*"):
        os.utime(file, (then, then))


def swept() -> set[str]:
    return {Path(orphan.location.removeprefix("file://")).name for orphan in remove_orphans()}


def stray(name: str) -> str:
    """Leave a file in the table's folder as a killed writer would; returns its name."""
    (folder,) = warehouse().glob("raw/readings-*")
    (folder / "data" / name).write_bytes(b"PAR1")
    return name


def test_what_a_killed_writer_left_goes_and_every_row_stays() -> None:
    write({0: [1, 2], 40: [3]})
    write({0: [4]})
    left = stray("left.parquet")
    aged()
    assert swept() == {left}
    assert found() == {0: [4], 40: [3]}
    assert len(read.load_table("main", "raw.readings").metadata.snapshots) == 2


def test_a_young_file_stays_and_so_does_one_of_which_the_age_asked_is_under_a_day() -> None:
    write({0: [1]})
    stray("young.parquet")
    aged(2.9)
    assert swept() == set()
    aged(0.9)
    assert remove_orphans(dt.timedelta(0)) == []


def test_a_branch_its_base_and_a_pin_keep_their_files() -> None:
    write({0: [1]})
    refs.create("dev")
    held = pins.pin("main")
    write({0: [2]}, ref="dev")
    write({0: [3]})
    write({0: [4]})
    aged()
    assert swept() == set()
    assert [found(ref="dev"), found()] == [{0: [2]}, {0: [4]}]
    pins.release(held.name)


def test_the_files_of_a_dropped_branch_go() -> None:
    write({0: [1]})
    refs.create("dev")
    write({0: [2]}, ref="dev")
    refs.drop("dev")
    aged()
    gone = swept()
    assert sum(name.endswith(".parquet") for name in gone) == 1
    assert any(name.endswith(".metadata.json") for name in gone)
    assert found() == {0: [1]}
    assert swept() == set()


def test_a_dry_run_removes_nothing() -> None:
    write({0: [1]})
    left = stray("left.parquet")
    aged()
    assert [Path(orphan.location).name for orphan in remove_orphans(dry_run=True)] == [left]
    assert swept() == {left}


def test_what_no_table_of_this_catalog_owns_is_not_touched() -> None:
    write({0: [1]})
    foreign = warehouse() / "raw" / "others-000000000000" / "data" / "theirs.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"PAR1")
    (folder,) = warehouse().glob("raw/readings-*")
    note = folder / "data" / "README.txt"
    note.write_text("somebody's note")
    aged()
    assert swept() == set()
    assert foreign.exists()
    assert note.exists()
