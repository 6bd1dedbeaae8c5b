"""Counts what an action does: statements, files, listings, requests, processes, commits, bytes, imports.

All of it is seen from within this process; what DuckDB opens it says itself, in a log of its file system.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import psycopg
import pytest
import sqlalchemy
from psycopg.copy import LibpqWriter

from fake_source import FakeSource
from millpond.internals.pyiceberg import PyArrowFile
from millpond.lake import files as lake_files
from millpond.lake.connect import connect
from millpond.runtime.home import Home

_PROCESSES: Final = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty"})
_LISTINGS: Final = frozenset({"os.scandir", "os.listdir"})
_active: list[tuple[str, Counter[str]]] = []
"""The home and the counts of each block in progress."""


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:  # also when Python ends, and this module's names are gone
        return
    if event in _PROCESSES:
        name = "processes started"
    elif event in _LISTINGS:
        name = "folders of the home listed"
    else:
        return
    for home, counts in _active:
        if event in _PROCESSES or str(arguments[0]).startswith(home):
            counts[name] += 1


sys.addaudithook(_hear)


@contextmanager
def count(home: Home, source: FakeSource, duckdb_log: Path) -> Iterator[Counter[str]]:
    """Yield what is filled with the counts of the block, complete after it."""
    counts: Counter[str] = Counter()
    files, commits, requests = _list_files(home.warehouse), _count_commits(), len(source.requests)
    modules, opened = set(sys.modules), _count_opened(duckdb_log, home.warehouse)
    with pytest.MonkeyPatch.context() as patch:
        _count_statements(patch, counts)
        _count_duckdb(patch, counts)
        _count_reads(patch, counts)
        block = (str(home.root), counts)
        _active.append(block)
        try:
            yield counts
        finally:
            _active.remove(block)
    counts["files opened by DuckDB"] = _count_opened(duckdb_log, home.warehouse) - opened
    counts["modules imported"] = len(set(sys.modules) - modules)
    for file in _list_files(home.warehouse) - files:
        counts[f"files written: {file.suffix}"] += 1
    counts["lake commits"] = _count_commits() - commits
    counts["requests to the source"] = len(source.requests) - requests


def log_duckdb(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have each connection of DuckDB from now on write to `folder` what it does with files."""
    usual = duckdb.connect

    def connect_with_log(*given: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        connection = usual(*given, **options)
        may_write = connection.execute("SELECT current_setting('enable_external_access')").fetchone()
        if may_write != (True,):
            return connection  # it sees staged files at most, and may not write a log
        place = folder / str(len(os.listdir(folder)))
        place.mkdir()
        # At once (buffer_size): some connections stay open for as long as the process.
        storage = f"storage = 'file', storage_config = {{'path': '{place}', 'buffer_size': 1}}"
        connection.execute(f"CALL enable_logging('FileSystem', {storage})")
        return connection

    patch.setattr(duckdb, "connect", connect_with_log)


def _count_opened(duckdb_log: Path, folder: Path) -> int:
    logs = (log.read_text() for log in duckdb_log.glob("*/duckdb_log_entries.csv"))
    lines = (line for log in logs for line in log.splitlines())
    return sum('""op"":""OPEN""' in line and f'""path"":""{folder}' in line for line in lines)


def _list_files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


def _count_commits() -> int:
    """Return the pointers that moved, on all refs."""
    with connect() as conn:
        row = conn.execute("select count(*) from lake_ref_log where table_name <> ''").fetchone()
    assert row
    return int(row[0])


def _count_statements(patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    def counted(usual: Any) -> Any:
        def execute(self: psycopg.Cursor[Any], *given: Any, **options: Any) -> Any:
            counts[f"statements: {self.connection.info.user.removeprefix('millpond_')}"] += 1
            return usual(self, *given, **options)

        return execute

    for name in ("execute", "executemany", "copy"):
        patch.setattr(psycopg.Cursor, name, counted(getattr(psycopg.Cursor, name)))
    write = LibpqWriter.write

    def counted_write(self: LibpqWriter, data: Any) -> None:
        counts["bytes copied to Postgres"] += len(data)
        write(self, data)

    patch.setattr(LibpqWriter, "write", counted_write)

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
    def hear(conn: sqlalchemy.Connection, *_: object) -> None:
        if (
            any(each is counts for _, each in _active) and conn.dialect.driver != "psycopg"
        ):  # whose cursors are counted already
            counts[f"statements: {(conn.engine.url.username or 'dagster').removeprefix('millpond_')}"] += 1


def _count_duckdb(patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    def counted(usual: Any) -> Any:
        def execute(self: duckdb.DuckDBPyConnection, *given: Any, **options: Any) -> Any:
            counts["statements: DuckDB"] += 1
            return usual(self, *given, **options)

        return execute

    for name in ("execute", "executemany", "sql", "query"):
        patch.setattr(duckdb.DuckDBPyConnection, name, counted(getattr(duckdb.DuckDBPyConnection, name)))
    connect = duckdb.connect

    def counted_connect(*given: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        counts["databases of DuckDB opened"] += 1
        return connect(*given, **options)

    patch.setattr(duckdb, "connect", counted_connect)


def _count_reads(patch: pytest.MonkeyPatch, counts: Counter[str]) -> None:
    usual = PyArrowFile.open

    def opened(self: PyArrowFile, *given: Any, **options: Any) -> Any:
        counts["files of the lake opened"] += 1
        return usual(self, *given, **options)

    patch.setattr(PyArrowFile, "open", opened)

    def listed(*given: Any, **options: Any) -> Any:
        counts["folders of the lake listed"] += 1
        return select(*given, **options)

    select = lake_files.FileSelector
    patch.setattr(lake_files, "FileSelector", listed)
