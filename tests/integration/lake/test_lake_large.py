"""Data larger than memory: Parquet files are streamed through, and land as if they came as one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake_readings import DAY, day, days, found, rows, spec, write
from millpond.errors import RowsOutsideWindow, StorageFailed
from millpond.lake import datafiles, parquet, read
from millpond.lake import rows as lake_rows
from millpond.lake.tables import Replacement, Written, replace
from millpond.runtime.home import Home
from processes import exit_code

pytestmark = pytest.mark.usefixtures("home")

_TOO_MUCH = 3


def _parquet(folder: Path, *tables: pa.Table) -> list[Path]:
    paths = [folder / f"{n}.parquet" for n in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    return paths


def _replace(files: list[Path], first: int, last: int) -> Written:
    (written,) = replace([Replacement(spec(), files, days(first, last))], ref="main", run_id="run")
    return written


def test_files_land_as_the_same_rows_in_memory_would(tmp_path: Path) -> None:
    values = {0: [1, 2], 1: [3], 4: [4]}
    write(values, days(0, 4))
    files = _parquet(tmp_path, rows({0: [2]}), rows({4: [4], 0: [1]}), rows({}), rows({1: [3]}))
    assert not _replace(files, 0, 4).changed
    _replace([*files, *_parquet(tmp_path / "..", rows({2: [9]}))], 0, 4)
    assert found() == {**values, 2: [9]}


def test_no_files_empty_the_window() -> None:
    write({0: [1], 1: [2]})
    assert _replace([], 1, 1).rows == 0
    assert found() == {0: [1]}


def test_files_may_differ_in_their_columns(tmp_path: Path) -> None:
    wide = rows({1: [2]}).append_column("note", pa.array(["x"]))
    narrow = rows({0: [1]}).set_column(2, "value", pa.array([1], pa.int16()))
    _replace(_parquet(tmp_path, narrow, wide), 0, 1)
    found_rows = read.scan("main", "raw.readings").sort_by(DAY).select(["value", "note"]).to_pylist()
    assert found_rows == [{"value": 1, "note": None}, {"value": 2, "note": "x"}]


def test_a_row_outside_the_window_in_the_last_file_keeps_all_of_them_out(tmp_path: Path) -> None:
    with pytest.raises(RowsOutsideWindow):
        _replace(_parquet(tmp_path, rows({0: [1]}), rows({2: [2]})), 0, 1)
    assert not read.exists("main", "raw.readings")


def test_small_pieces_change_nothing_but_the_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_rows, "PIECE_BYTES", 1000)
    monkeypatch.setattr(lake_rows, "_BATCH_ROWS", 7)
    monkeypatch.setattr(datafiles, "_HELD_BYTES", 0)
    monkeypatch.setattr(datafiles, "_SMALL_FILE_BYTES", 0)
    values = {n: list(range(30)) for n in range(4)}
    _replace(_parquet(tmp_path, rows(values)), 0, 3)
    assert found() == values
    assert len(read.load_table("main", "raw.readings").inspect.data_files()) > 2
    write({1: [5], 2: []}, days(1, 2))
    assert found() == {0: values[0], 1: [5], 3: values[3]}


def test_a_piece_that_cannot_be_written_leaves_no_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_rows, "PIECE_BYTES", 1000)
    written, write_part = list[int](), parquet._write_part

    def fail_once(*given: Any) -> Any:
        written.append(len(written))
        if len(written) == 2:
            raise OSError(28, "no space left on device")
        return write_part(*given)

    monkeypatch.setattr(parquet, "_write_part", fail_once)
    with pytest.raises(StorageFailed):
        write({n: list(range(30)) for n in range(4)}, days(0, 3))
    assert len(written) > 1
    assert not read.exists("main", "raw.readings")
    assert not list(home.warehouse.rglob("*.parquet"))


def test_of_a_large_file_a_piece_at_a_time_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_rows, "PIECE_BYTES", 1 << 20)
    file = tmp_path / "large.parquet"
    values = pa.Array.from_buffers(pa.int64(), 3 << 20, [None, pa.py_buffer(os.urandom(24 << 20))])
    pq.write_table(pa.table({"value": values}), file, row_group_size=1 << 16)
    del values
    before, most = pa.total_allocated_bytes(), 0
    for _ in lake_rows.Rows("raw.readings", [file]).raw_pieces():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < file.stat().st_size // 2


def _write_in_little_memory(files: list[Path], pieces: int) -> None:
    lake_rows.PIECE_BYTES = pieces
    lake_rows._BATCH_ROWS = 4096
    _replace(files, 0, 0)
    _replace(files[:-1], 0, 0)
    if pa.default_memory_pool().max_memory() > 30 * pieces:
        os._exit(_TOO_MUCH)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    pieces, count = 1 << 19, 50_000
    tables = []
    for n in range(8):
        texts = [f"{n}-{i}-{'x' * 60}" for i in range(count)]
        tables.append(pa.table({DAY: pa.array([day(0)] * count, pa.date32()), "text": texts}))
    assert sum(t.nbytes for t in tables) > 55 * pieces
    files = _parquet(tmp_path, *tables)
    assert exit_code(_write_in_little_memory, files, pieces) == 0
    assert read.count("main", "raw.readings") == 7 * count
