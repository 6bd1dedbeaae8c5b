"""A window holds exactly the rows of its last write, in one commit over all tables of a call."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import parquet_files_to_data_files

import rest_endpoint
from lake_readings import DAY, SCHEMA, day, days, found, rows, spec, write
from millpond.errors import ConfigError, RefNotFound, RowsOutsideWindow, SchemaConflict, StorageFailed
from millpond.internals.pyiceberg import ManifestEntryStatus
from millpond.lake import duck, read
from millpond.lake.manifests import count_files, find_most_files, read_manifests
from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.partitions import Window
from millpond.runtime.home import Home

pytestmark = pytest.mark.usefixtures("home")


def _files() -> list[str]:
    return sorted(read.load_table("main", "raw.readings").inspect.data_files()["file_path"].to_pylist())


def test_a_day_is_replaced_and_its_neighbours_stay() -> None:
    write({0: [1], 1: [2, 3], 2: [4]})
    written = write({1: [30]})
    assert found() == {0: [1], 1: [30], 2: [4]}
    assert (written.changed, written.rows) == (True, 1)


def test_a_range_across_months_is_replaced_in_one_snapshot() -> None:
    write({n: [n] for n in range(6)})
    before = len(read.load_table("main", "raw.readings").metadata.snapshots)
    write({n: [n * 10] for n in range(1, 5)})
    assert found() == {0: [0], 1: [10], 2: [20], 3: [30], 4: [40], 5: [5]}
    assert len(read.load_table("main", "raw.readings").metadata.snapshots) == before + 1


def test_days_of_the_window_without_rows_become_empty() -> None:
    write({n: [n] for n in range(4)})
    write({1: [10]}, days(1, 2))
    assert found() == {0: [0], 1: [10], 3: [3]}


def test_an_emptied_window_commits_a_delete() -> None:
    write({0: [1], 1: [2]})
    written = write({}, days(1, 1))
    assert found() == {0: [1]}
    assert (written.changed, written.rows) == (True, 0)


def test_the_same_rows_in_another_order_by_another_run_commit_nothing() -> None:
    first = write({0: [1, 2, 3], 1: [4]})
    again = write({1: [4], 0: [3, 1, 2]}, run="another")
    assert not again.changed
    assert again.bytes == 0
    assert (again.snapshot_id, again.content_hash) == (first.snapshot_id, first.content_hash)


def test_a_write_reports_the_metadata_file_that_the_ref_has_also_if_nothing_changed() -> None:
    for values in ({0: [1]}, {0: [2]}, {0: [2]}):
        written = write(values)
        assert written.location == read.load_table("main", "raw.readings").metadata_location


def test_a_row_that_is_there_twice_is_not_the_same_as_once() -> None:
    write({0: [1]})
    assert write({0: [1, 1]}).changed
    assert found() == {0: [1, 1]}


def test_a_missing_table_is_created_also_for_no_rows() -> None:
    written = write({}, days(0, 0))
    assert (written.changed, written.rows) == (True, 0)
    assert read.scan("main", "raw.readings").column_names == SCHEMA.names
    assert not write({}, days(0, 0)).changed


def test_without_a_window_the_whole_table_is_replaced() -> None:
    write({0: [1], 9: [2]})
    replace([Replacement(spec(), rows({4: [3]}), None)], ref="main", run_id="run")
    assert found() == {4: [3]}


def test_a_table_without_days_is_replaced_whole() -> None:
    numbers = spec("gold.numbers", pa.schema([("n", pa.int64())]), window_column=None, grain=None, key=())
    for data in ([1, 2], [3]):
        replace([Replacement(numbers, pa.table({"n": data}), None)], ref="main", run_id="run")
    assert read.scan("main", "gold.numbers")["n"].to_pylist() == [3]


def test_no_window_of_a_table_without_days_can_be_replaced() -> None:
    numbers = spec("gold.numbers", pa.schema([("n", pa.int64())]), window_column=None, grain=None, key=())
    with pytest.raises(ConfigError, match="no window column"):
        replace([Replacement(numbers, pa.table({"n": [1]}), days(0, 0))], ref="main", run_id="run")


@pytest.mark.parametrize("stray", [day(3), None], ids=["another day", "no day"])
def test_rows_outside_the_window_are_refused(stray: dt.date | None) -> None:
    write({0: [1]})
    data = pa.table({DAY: [day(0), stray], "reading_id": ["a", "b"], "value": [1, 2]}).cast(
        pa.schema([(DAY, pa.date32()), ("reading_id", pa.string()), ("value", pa.int64())])
    )
    with pytest.raises(RowsOutsideWindow, match=r"1 row for raw\.readings is outside the window 2026-10-30"):
        replace([Replacement(spec(), data, days(0, 0))], ref="main", run_id="run")
    assert found() == {0: [1]}


def test_several_tables_change_together_or_not_at_all(home: Home) -> None:
    other = spec("raw.others")
    write({0: [1]})
    write({0: [1]}, table=other)
    before = sorted(home.warehouse.rglob("*"))
    wrong = rows({0: [2]}).set_column(2, "value", pa.array(["text"]))
    with pytest.raises(SchemaConflict):
        replace(
            [Replacement(spec(), rows({0: [2]}), days(0, 0)), Replacement(other, wrong, days(0, 0))],
            ref="main",
            run_id="run",
        )
    assert found() == found("raw.others") == {0: [1]}
    assert sorted(home.warehouse.rglob("*")) == before


def test_a_table_is_named_once_in_a_write() -> None:
    twice = Replacement(spec(), rows({0: [1]}), days(0, 0))
    with pytest.raises(ConfigError, match=r"raw\.readings more than once"):
        replace([twice, twice], ref="main", run_id="run")


def test_an_unknown_ref_is_refused(home: Home) -> None:
    with pytest.raises(RefNotFound, match="nowhere"):
        write({0: [1]}, ref="nowhere")
    assert not list(home.warehouse.rglob("*.parquet"))


def test_the_snapshot_tells_run_window_and_content() -> None:
    written = write({0: [1], 1: [2]}, run="run-17")
    snapshot = read.load_table("main", "raw.readings").current_snapshot()
    assert snapshot is not None
    assert snapshot.snapshot_id == written.snapshot_id
    summary = snapshot.summary
    assert summary is not None
    assert summary["millpond.run_id"] == "run-17"
    assert summary["millpond.window"] == "2026-10-30...2026-10-31"
    assert summary["millpond.content_hash"] == written.content_hash
    assert (summary["millpond.rows_added"], summary["millpond.rows_removed"]) == ("2", "0")


def test_a_days_hash_is_the_same_alone_and_in_a_range() -> None:
    ranged = write({0: [1, 2], 2: [3]}, days(0, 2))
    assert sorted(ranged.day_hashes) == [day(0), day(1), day(2)]
    alone = write({0: [2, 1]})
    assert alone.day_hashes == {day(0): ranged.day_hashes[day(0)]}
    assert len(set(ranged.day_hashes.values())) == 3


def test_each_month_stays_one_file_however_often_its_days_are_replaced() -> None:
    write({n: [n] for n in range(5)})
    for n in range(5):
        write({n: [100 + n]})
    assert len(_files()) == 2


def test_manifests_stay_few_over_many_commits() -> None:
    for n in range(24):
        write({n % 6: [n]})
    table = read.load_table("main", "raw.readings")
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(table.io)) <= 4


def test_a_day_of_a_table_of_many_months_writes_one_manifest_of_few_files_again() -> None:
    months = 80
    write({31 * n: [n] for n in range(months)}, days(0, 31 * months))
    table = read.load_table("main", "raw.readings")
    before = read_manifests(table.metadata, table.io)
    write({31 * 40: [-1]})
    table = read.load_table("main", "raw.readings")
    after = read_manifests(table.metadata, table.io)
    assert sum(map(count_files, after)) == months
    (new,) = set(after) - set(before)
    assert len(after) == len(before) > 1
    assert count_files(new) <= find_most_files(months)
    entries = new.fetch_manifest_entry(table.io, discard_deleted=False)
    (gone,) = [e for e in entries if e.status == ManifestEntryStatus.DELETED]
    assert not gone.data_file.lower_bounds
    assert not gone.data_file.upper_bounds
    assert found()[31 * 40] == [-1]


@pytest.mark.parametrize("name", ["number", "größe"])
def test_a_file_is_described_as_pyiceberg_describes_it(name: str) -> None:
    schema = pa.schema(
        [(DAY, pa.date32()), (name, pa.float64()), ("text", pa.string()), ("at", pa.timestamp("us"))]
    )
    data = pa.table([[day(0), day(1)], [1.5, None], ["a" * 99, "b"], [0, 1]], schema=schema)
    replace([Replacement(spec(schema=schema), data, days(0, 1))], ref="main", run_id="run")
    table = read.load_table("main", "raw.readings")
    for task in table.scan().plan_files():
        (theirs,) = parquet_files_to_data_files(table.io, table.metadata, iter([task.file.file_path]))
        for field in ("file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes"):
            assert getattr(task.file, field) == getattr(theirs, field)
        for bounds in ("value_counts", "null_value_counts", "lower_bounds", "upper_bounds", "split_offsets"):
            assert getattr(task.file, bounds) == getattr(theirs, bounds)


def test_day_grain_makes_a_file_for_each_day() -> None:
    write({n: [n] for n in range(4)}, table=spec(grain="day"))
    assert len(_files()) == 4
    write({1: [10]}, table=spec(grain="day"))
    assert found() == {0: [0], 1: [10], 2: [2], 3: [3]}


def test_rows_deleted_by_duckdb_stay_deleted_when_other_days_are_replaced() -> None:
    write({0: [1, 2], 1: [3]})
    with rest_endpoint.attached() as connection:
        connection.execute("delete from raw.readings where value = 1")
    with duck.connect() as connection:
        assert connection.execute("select sum(value) from raw.readings").fetchone() == (5,)
    assert found() == {0: [2], 1: [3]}
    write({1: [30]})
    assert found() == {0: [2], 1: [30]}
    write({0: [1, 2]})
    assert found() == {0: [1, 2], 1: [30]}


def test_rows_are_sorted_within_a_file() -> None:
    replace(
        [Replacement(spec(sort_by=("value",)), rows({3: [3, 1], 4: [2]}), Window.of_days(day(3), day(4)))],
        ref="main",
        run_id="run",
    )
    assert read.scan("main", "raw.readings")["value"].to_pylist() == [1, 2, 3]


def test_a_table_that_lost_a_file_is_replaced_as_a_whole_and_a_day_of_it_is_not(home: Home) -> None:
    data = pa.table({"day": [dt.date(2026, 11, 1), dt.date(2026, 11, 2)], "n": [1, 2]})
    table = TableSpec("gold.lost", data.schema, window_column="day", grain="month")
    replace([Replacement(table, data, None)], ref="main", run_id="r")
    (file,) = (home.warehouse / "gold").rglob("*.parquet")
    file.unlink()
    with pytest.raises(StorageFailed, match=r"gold\.lost"):
        replace(
            [Replacement(table, data.slice(0, 1), Window.of_day(dt.date(2026, 11, 1)))],
            ref="main",
            run_id="r",
        )
    (written,) = replace([Replacement(table, data, None)], ref="main", run_id="r")
    assert (written.changed, written.rows) == (True, 2)
    assert read.scan("main", "gold.lost").to_pylist() == data.to_pylist()
