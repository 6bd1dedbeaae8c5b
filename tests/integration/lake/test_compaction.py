"""Small files become few: no row changes, and no other writer or reader is disturbed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.expressions import EqualTo
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Operation

import rest_endpoint
from lake_readings import DAY, day, found, rows, spec, write
from millpond.errors import LakeError
from millpond.internals.pyiceberg import OverwriteFiles
from millpond.lake import compaction, duck, housekeeping, manifests, pins, read, refs, wipe
from millpond.lake.catalog import LakeCatalog
from millpond.lake.hashing import compute_digests, hash_digests
from millpond.lake.history import count_rows, find_days, plan_undo, undo
from millpond.lake.metadata import find_windows_since, read_summary
from millpond.lake.ref_log import list_commits
from millpond.lake.removal import remove_days
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.maintenance.task import Result
from millpond.maintenance.tasks import compact_files, expire_snapshots, rewrite_manifests
from millpond.runtime.home import Home

pytestmark = pytest.mark.usefixtures("home")
TABLE = "raw.readings"
SMALL = 10


def append(values: dict[int, list[int]], ref: str = "main", table: str = TABLE) -> None:
    """Append a file as another client of the catalog does."""
    opened = LakeCatalog(ref).load_table(table)
    opened.append(rows(values).cast(opened.schema().as_arrow()))


def many_small_files() -> dict[int, list[int]]:
    """Leave two months: the first of one file, the second of many."""
    write({0: [1]})
    for n in range(SMALL):
        append({2 + n: [n, n + 1]})
    return {0: [1], **{2 + n: [n, n + 1] for n in range(SMALL)}}


class DeletesWriter(ManifestWriterV2):
    """Writes a manifest of files of deleted rows, which PyIceberg only reads."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def delete_first_row(day_of: int) -> None:
    """Leave a file that deletes a row, as Trino does."""
    lake = LakeCatalog("main")
    table = lake.load_table(TABLE)
    wanted = EqualTo(DAY, str(day(day_of)))
    (task,) = [t for t in table.scan(row_filter=wanted).plan_files() if not t.delete_files]
    path = f"{table.location()}/data/deletes-{day_of}.parquet"
    columns = [("file_path", pa.string()), ("pos", pa.int64())]
    ids = (2147483546, 2147483545)
    fields = [
        pa.field(name, kind, False, {"PARQUET:field_id": str(field_id)})
        for (name, kind), field_id in zip(columns, ids, strict=True)
    ]
    pq.write_table(pa.table([[task.file.file_path], [0]], pa.schema(fields)), path.removeprefix("file://"))
    commit_deletes(table, task, path, DataFileContent.POSITION_DELETES)


def delete_by_equality(value: int) -> None:
    """Leave a file that deletes the rows with a value, as Flink does; PyIceberg cannot read it."""
    table = LakeCatalog("main").load_table(TABLE)
    path = f"{table.location()}/data/equality-{value}.parquet"
    number = table.schema().find_field("value").field_id
    field = pa.field("value", pa.int64(), True, {"PARQUET:field_id": str(number)})
    pq.write_table(pa.table([[value]], pa.schema([field])), path.removeprefix("file://"))
    (task, *_) = table.scan().plan_files()
    commit_deletes(table, task, path, DataFileContent.EQUALITY_DELETES, equality_ids=[number])


def commit_deletes(
    table: Table, task: FileScanTask, path: str, content: DataFileContent, **more: list[int]
) -> None:
    deletes = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=task.file.partition,
        record_count=1,
        file_size_in_bytes=1000,
        **more,
    )
    deletes.spec_id = task.file.spec_id

    class Deleting(OverwriteFiles):
        def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
            spec, schema, out = self.spec(deletes.spec_id), self.schema(), self.new_manifest_output()
            with DeletesWriter(spec, schema, out, self.snapshot_id, "deflate") as writer:
                entry = ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=self.snapshot_id, data_file=deletes
                )
                writer.add(entry)
            return [*manifests, writer.to_manifest_file()]

    with table.transaction() as changed:
        Deleting(Operation.OVERWRITE, changed, table.io).commit()


def content() -> str:
    return hash_digests(compute_digests(read.scan("main", TABLE), DAY))


def compact(ref: str = "main") -> compaction.Compaction | None:
    plan = compaction.plan_compaction(ref, TABLE, LakeCatalog(ref).pointer(TABLE))
    return plan and compaction.compact(plan)


def test_a_partition_of_many_small_files_becomes_one_sorted_file_and_no_row_changes(home: Home) -> None:
    wanted = many_small_files()
    before, hashed = read.load_table("main", TABLE), content()
    with pins.hold_pin("main") as pin:
        assert [line.counts for line in compact_files(True).lines] == [
            {"files": SMALL, "files_after": 1, "delete_files": 0}
        ]
        assert content() == hashed
        (line,) = compact_files(False).lines
        assert found(ref=pin) == wanted
    assert (line.name, line.counts["files_after"]) == (TABLE, 1)
    after = read.load_table("main", TABLE)
    assert found() == wanted
    assert content() == hashed
    files = [task.file for task in after.scan().plan_files()]
    assert len(files) == 2
    snapshot = after.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation.value == "replace"
    assert (snapshot.summary["total-data-files"], snapshot.summary["total-records"]) == (
        "2",
        str(SMALL * 2 + 1),
    )
    assert len(snapshot.manifests(after.io)) < SMALL
    for file in files:
        stored = pq.read_table(file.file_path.removeprefix("file://"))[DAY].to_pylist()
        assert stored == sorted(stored)
    assert not find_windows_since(after.metadata, before.metadata), "no day changed"
    assert compact_files(False).lines == ()


def test_a_table_of_few_files_costs_no_look_at_its_files(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1], 40: [2]})
    monkeypatch.setattr(compaction, "DataScan", None)
    assert compact() is None
    assert rewrite_manifests(False).lines == ()


def test_a_writer_of_another_partition_is_not_disturbed_and_one_of_the_same_wins(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_small_files()
    plan = compaction.plan_compaction("main", TABLE, LakeCatalog("main").pointer(TABLE))
    assert plan is not None
    write({0: [7, 8]})
    assert compaction.compact(plan) is not None
    assert found()[0] == [7, 8]
    assert found()[4] == [2, 3]

    for n in range(SMALL):
        append({40 + n: [n]})
    plan = compaction.plan_compaction("main", TABLE, LakeCatalog("main").pointer(TABLE))
    assert plan is not None
    write({41: [99]})
    files = {task.file.file_path for task in read.load_table("main", TABLE).scan().plan_files()}
    assert compaction.compact(plan) is None
    assert {task.file.file_path for task in read.load_table("main", TABLE).scan().plan_files()} == files
    assert found()[41] == [99]


def test_an_earlier_commit_is_undone_over_a_compaction_and_a_branch_merges_over_it(home: Home) -> None:
    many_small_files()
    refs.create("dev")
    write({5: [55]}, ref="dev")
    written = list_commits("main", limit=1)[0]
    assert compact() is not None
    last = list_commits("main", limit=1)[0]
    assert (last.action, count_rows(last.moves[0])) == ("compact", (SMALL * 2 + 1, SMALL * 2 + 1))
    assert str(find_days(last.moves[0])) == "none"
    refs.merge("dev")
    assert found()[5] == [55]
    assert found()[6] == [4, 5]
    plan = plan_undo("main", list_commits("main", limit=1)[0].id)
    undo(plan)
    assert found()[5] == [3, 4]
    plan = plan_undo("main", written.id, with_later=True)
    assert "compact" not in [commit.action for commit in plan.commits]
    undo(plan)
    assert 2 + SMALL - 1 not in found()


def test_deleted_rows_leave_their_files_with_the_files_that_delete_them(home: Home) -> None:
    for n in (0, 2, 40):
        write({n: [1, 2]})
    for n in range(SMALL):
        append({80 + n: [1, 2]})
        delete_first_row(80 + n)
    delete_first_row(40)
    wanted = {0: [1, 2], 2: [1, 2], 40: [2], **{80 + n: [2] for n in range(SMALL)}}
    assert found() == wanted
    hashed = content()
    (line,) = compact_files(False).lines
    assert line.counts == {"files": SMALL, "files_after": 1, "delete_files": SMALL}
    assert found() == wanted
    assert content() == hashed
    table = read.load_table("main", TABLE)
    left = {file.file_path for task in table.scan().plan_files() for file in task.delete_files}
    assert [path.rpartition("/")[2] for path in left] == ["deletes-40.parquet"], "too few to be worth it"
    snapshot = table.current_snapshot()
    assert snapshot is not None
    kept = [m for m in snapshot.manifests(table.io) if m.content == ManifestContent.DELETES]
    assert len(kept) == 1


def test_rows_that_a_file_deletes_leave_the_data_files_when_their_day_is_removed(home: Home) -> None:
    for n in (0, 40):
        write({n: [1]})
    append({1: [5]})
    delete_first_row(1)
    delete_first_row(40)
    written = remove_days("main", {TABLE: [day(1)]}, run_id="wipe")
    assert [each.rows for each in written] == [0]
    stored = [pq.read_table(t.file.file_path[7:]) for t in read.load_table("main", TABLE).scan().plan_files()]
    assert sorted(n for table in stored for n in table["value"].to_pylist()) == [1, 1], "40 is of another day"
    assert found() == {0: [1]}
    before = list_commits("main", limit=1)[0].id
    remove_days("main", {TABLE: [day(1)]}, run_id="wipe")
    assert list_commits("main", limit=1)[0].id == before


def test_versions_of_a_table_that_nothing_changes_any_more_expire(
    home: Home, configure: Callable[..., object]
) -> None:
    for value in range(5):
        write({0: [value]})
    assert expire_snapshots(False).lines == ()
    configure(snapshot_retention_count=2)
    (line,) = expire_snapshots(True).lines
    assert (line.name, line.counts) == (TABLE, {"snapshots": 3})
    before = list_commits("main", limit=1)[0].id
    assert expire_snapshots(False).lines == (line,)
    assert len(read.load_table("main", TABLE).metadata.snapshots) == 2
    assert expire_snapshots(False).lines == ()
    assert list_commits("main", limit=1)[0].action == "expire"
    undo(plan_undo("main", before))
    assert found() == {0: [3]}


def test_many_small_manifests_become_few(home: Home) -> None:
    write({0: [1]})
    for n in range(manifests.MANIFESTS + 2):
        append({40 * n: [n]})
    before, wanted = read.load_table("main", TABLE), found()
    (line,) = rewrite_manifests(True).lines
    assert rewrite_manifests(False).lines == (line,)
    after = read.load_table("main", TABLE)
    snapshot = after.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(after.io)) < line.counts["manifests"] / 4
    assert read_summary(snapshot, "total-data-files") == str(manifests.MANIFESTS + 3)
    assert found() == wanted
    assert not find_windows_since(after.metadata, before.metadata)
    assert rewrite_manifests(False).lines == ()


def test_a_branch_of_a_person_is_compacted_where_it_differs_and_main_is_left(home: Home) -> None:
    many_small_files()
    assert compact() is not None
    refs.create("dev")
    for n in range(SMALL):
        append({40 + n: [n]}, ref="dev")
    lines = compact_files(False).lines
    assert [line.name for line in lines] == [f"{TABLE} on dev"]
    refs.merge("dev")
    assert found()[44] == [4]


def test_a_table_that_another_program_deleted_rows_of_by_equality_is_refused_and_the_others_are_maintained(
    home: Home, configure: Callable[..., object]
) -> None:
    configure(compaction_files=3)
    for name in (TABLE, "raw.zzz"):
        write({0: [1]}, table=spec(name))
        for n in range(3):
            append({2 + n: [n, n + 1]}, table=name)
    wanted = found("raw.zzz")
    delete_by_equality(3)
    before = list_commits("main", limit=1)[0]
    for dry_run in (True, False):
        with pytest.raises(LakeError, match=f"{TABLE} has rows that another program deleted") as refused:
            compact_files(dry_run)
    assert "rewrite_data_files" in refused.value.next_step
    assert len(list(read.load_table("main", "raw.zzz").scan().plan_files())) == 2
    assert found("raw.zzz") == wanted
    assert rewrite_manifests(False).lines == ()
    for reads in (lambda: read.scan("main", TABLE), lambda: read.count("main", TABLE)):
        with pytest.raises(LakeError, match="deleted by equality"):
            reads()
    with pytest.raises(LakeError, match="deleted by equality"):
        write({2: [7]})
    with duck.connect() as engine:
        assert engine.execute(f"select count(*) from {TABLE} where value = 3").fetchone() == (0,)
    assert not housekeeping.remove_orphans(dt.timedelta(0), dry_run=True), "the file of deletes is needed"
    configure(snapshot_retention_count=2)
    assert TABLE in {line.name for line in expire_snapshots(False).lines}
    undo(plan_undo("main", before.id))
    assert found() == wanted


def test_a_table_with_deletion_vectors_is_read_expired_undone_and_wiped_and_never_written(
    home: Home, configure: Callable[..., object]
) -> None:
    configure(compaction_files=2, snapshot_retention_count=3)
    with rest_endpoint.attached("main") as engine:
        engine.execute("create table gold.numbers (n bigint) with ('format-version' = '3')")
        for _ in range(5):
            engine.execute("insert into gold.numbers select unnest([1, 2, 3])")
        engine.execute("delete from gold.numbers where n = 2")
        write({0: [1]})
        assert [compact_files(False), rewrite_manifests(False)] == [Result(), Result()]
        (line,) = expire_snapshots(False).lines
        assert (line.name, line.counts) == ("gold.numbers", {"snapshots": 3})
        deleted = next(c for c in list_commits("main") if c.tables == ["gold.numbers"])
        engine.execute("insert into gold.numbers values (4)")
        assert sorted(read.scan("main", "gold.numbers")["n"].to_pylist()) == [1] * 5 + [3] * 5 + [4]
        undo(plan_undo("main", list_commits("main", limit=1)[0].id))
        assert read.count("main", "gold.numbers") == 10, deleted
        days = {"gold.numbers": None}
        assert wipe.expire(days) == {"gold.numbers": 0}, "their files are those of the present version"
        (erased, *_) = wipe.erase(days, {}, dt.datetime.now(dt.UTC))
        assert erased.table == "gold.numbers"
        assert sorted(engine.execute("select distinct n from gold.numbers").fetchall()) == [(1,), (3,)]
    table = TableSpec("gold.numbers", pa.schema([("n", pa.int64())]))
    with pytest.raises(LakeError, match="version 3 of the table format"):
        replace([Replacement(table, pa.table({"n": [9]}), None)], ref="main", run_id="run")
    assert read.count("main", "gold.numbers") == 10
