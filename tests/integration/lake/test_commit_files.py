"""The files of a commit: what is remembered of them is what they hold, written as PyIceberg writes it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
from pyiceberg.table import Table

from lake_readings import DAY, FIRST, day, days, found, rows, spec, write
from millpond.errors import StorageFailed
from millpond.internals.pyiceberg import OverwriteFiles, PyArrowFile, dump_metadata, read_manifest_list
from millpond.lake import read, staging
from millpond.lake.catalog import load_catalog
from millpond.lake.created_files import CreatedFiles, TrackingIO
from millpond.lake.files import discard, lake_io, local_path
from millpond.lake.manifests import read_entries, read_manifests
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.summary import summarize
from millpond.lake.tables import replace
from millpond.partitions import Window

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("grain", ["month", "day", None])
def test_what_is_remembered_of_manifests_is_what_is_in_them(
    grain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, chosen = spec(grain=grain), random.Random(7)
    for turn in range(25):
        first = chosen.randrange(60)
        last = min(59, first + chosen.choice([0, 0, 1, 40]))
        values = {n: [turn * 100 + n] for n in range(first, last + 1) if chosen.random() < 0.8}
        write(values, days(first, last), table=table)
        _compare(read.load_table("main", table.name), monkeypatch)


def _compare(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    with monkeypatch.context() as reading:
        reading.setattr(PyArrowFile, "open", _refuse)
        manifests = read_manifests(table.metadata, table.io)
        remembered = {m.manifest_path: read_entries(m, table.io) for m in manifests}
    listed = [
        m
        for m in read_manifest_list(table.io.new_input(snapshot.manifest_list))
        if m.has_added_files() or m.has_existing_files()
    ]
    assert _show(manifests) == _show(listed)
    for manifest in listed:
        assert _show(remembered[manifest.manifest_path]) == _show(manifest.fetch_manifest_entry(table.io))


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a file was read")


def _show(records: Iterable[ManifestEntry | ManifestFile]) -> list[Any]:
    return [
        [(each._data, each.spec_id) if isinstance(each, DataFile) else each for each in record._data]
        for record in records
    ]


def test_metadata_is_written_as_pyiceberg_writes_it() -> None:
    for turn in range(4):
        write({0: [turn]})
    metadata = read.load_table("main", "raw.readings").metadata
    assert len(metadata.snapshots) == 4
    assert json.loads(dump_metadata(metadata)) == json.loads(metadata.model_dump_json())


def test_only_columns_whose_values_repeat_have_a_dictionary() -> None:
    count = 6_000
    data = pa.table(
        {
            DAY: [day(0)] * count,
            "key": [f"{n:08x}" for n in range(count)],
            "number": list(range(count)),
            "kind": [f"kind {n % 50}" for n in range(count)],
            "twice": [n // 2 for n in range(count)],
        }
    )
    replace(
        [Replacement(TableSpec("raw.wide", data.schema, DAY, grain="month"), data, Window.of_day(day(0)))],
        ref="main",
        run_id="run",
    )
    table = read.load_table("main", "raw.wide")
    (task,) = table.scan().plan_files()
    stored = pq.ParquetFile(local_path(task.file.file_path)).metadata.row_group(0)
    columns = [stored.column(n) for n in range(stored.num_columns)]
    assert {c.path_in_schema for c in columns if "RLE_DICTIONARY" not in c.encodings} == {"key", "number"}
    assert table.scan().to_arrow().sort_by("number").equals(data.cast(table.scan().to_arrow().schema)), (
        "the rows are the same"
    )


def test_a_day_written_between_others_keeps_the_file_sorted() -> None:
    write({n: [n, n + 100] for n in range(2, 20)})
    write({9: [7, 8]})
    assert found()[9] == [7, 8]
    assert len(found()) == 18
    (task,) = read.load_table("main", "raw.readings").scan().plan_files()
    stored = pq.read_table(lake_io().new_input(task.file.file_path).open())[DAY].to_pylist()
    assert stored == sorted(stored)
    assert stored[0] == FIRST.replace(day=1, month=11)


def test_files_that_have_only_replaced_rows_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    table = spec(grain="day")
    for n in range(3):
        write({n: [n, n + 1]}, days(n, n), table=table)
    with monkeypatch.context() as reading:
        reading.setattr(PyArrowFile, "open", _refuse)
        written = write({1: [7]}, days(1, 1), table=table)
    assert (written.changed, written.rows) == (True, 1)
    assert found() == {0: [0, 1], 1: [7], 2: [2, 3]}
    snapshot = read.load_table("main", table.name).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["millpond.rows_removed"] == "2"
    assert not write({1: [7]}, days(1, 1), table=table).changed


def test_files_are_not_read_where_the_same_rows_were_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1, 2], 1: [3]})
    with monkeypatch.context() as reading:
        reading.setattr(PyArrowFile, "open", _refuse)
        again = write({1: [3], 0: [2, 1]}, run="another")
    assert (again.changed, again.rows) == (False, 3)
    assert not write({1: [3]}, days(1, 1)).changed, "of one of these days alone nothing is recorded"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 100)])
def test_a_damaged_file_is_noticed_though_the_same_rows_were_recorded(damage: Any) -> None:
    write({0: [1, 2]})
    (task,) = read.load_table("main", "raw.readings").scan().plan_files()
    path = local_path(task.file.file_path)
    assert path is not None
    damage(path)
    with pytest.raises((StorageFailed, pa.ArrowInvalid)):
        write({0: [1, 2]})


def test_rows_that_another_program_wrote_are_compared_with_the_new_ones() -> None:
    write({0: [1]})
    load_catalog("main").load_table("raw.readings").overwrite(rows({0: [2]}))
    assert found() == {0: [2]}
    assert not write({0: [2]}).changed, "what the files hold counts, not what was last recorded"
    assert write({0: [1]}).changed
    assert found() == {0: [1]}


def test_a_summary_is_that_of_pyiceberg(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    summarize_usual = OverwriteFiles._summary

    def compare(*given: Any) -> Any:
        ours = summarize(*given)
        kept.append(ours)
        return None  # so that PyIceberg's is used

    def usual(self: Any, properties: dict[str, str]) -> Any:
        theirs = summarize_usual(self, properties)
        assert dict(theirs.additional_properties) == dict(kept[-1].additional_properties)
        assert theirs.operation == kept[-1].operation
        return theirs

    monkeypatch.setattr(staging, "summarize", compare)
    monkeypatch.setattr(OverwriteFiles, "_summary", usual)
    write({0: [1], 1: [2, 3], 40: [4]})
    write({1: [5]})
    write({}, days(0, 50))
    write({n: [n] for n in range(80)}, days(0, 90))
    assert len(kept) == 4


def test_files_that_are_written_at_the_end_are_complete_or_not_there(tmp_path: Path) -> None:
    created = CreatedFiles(later=True)
    io = TrackingIO({}, created)
    places = [f"file://{tmp_path}/{folder}/{n}" for folder in "ab" for n in range(20)]
    for place in places:
        file = io.new_output(place)
        file.write_whole(place.encode() * 1000)
        assert len(file) == len(place) * 1000
    created.flush_soon(places[:10])
    created.flush()
    created.flush()
    assert [Path(place.removeprefix("file://")).read_bytes() for place in places] == [
        place.encode() * 1000 for place in places
    ]
    given_up = CreatedFiles(later=True)
    for n in range(20):
        TrackingIO({}, given_up).new_output(f"file://{tmp_path}/c/{n}").write_whole(b"content")
    given_up.flush_soon(given_up[:10])
    given_up.give_up()
    discard(given_up)
    assert not [*(tmp_path / "c").iterdir()]
