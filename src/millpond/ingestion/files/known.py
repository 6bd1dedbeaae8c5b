"""The files that a table was read from, in the ops database: versions, the days of their rows, what is due.

A version's days are a fact about it, so that writing them again, or too early, does no harm.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from psycopg.rows import tuple_row

from millpond.ingestion.files.place import Entry
from millpond.ingestion.spec import SourceTable
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow

Days = frozenset[dt.date]

_SELECT = """
    select path, version, days, due, tick, unlisted_since is not null from known_files
    where table_name = %s and spec = %s
"""
_UNION = "array(select distinct day from unnest({}) as day order by 1)"
_SAME = "known_files.version = excluded.version and known_files.spec = excluded.spec"
_RECORD = f"""
    insert into known_files (table_name, path, version, spec, days, due)
    select %(table)s, path, version, %(spec)s, nullif(days, '-')::date[], due::date[]
    from unnest(%(paths)s::text[], %(versions)s::text[], %(days)s::text[], %(due)s::text[])
        as found (path, version, days, due)
    on conflict (table_name, path) do update set
        version = excluded.version, spec = excluded.spec, days = excluded.days,
        due = case when {_SAME} then known_files.due
                   else {_UNION.format("known_files.due || known_files.days || excluded.due")} end,
        tick = case when {_SAME} then known_files.tick end
    where not ({_SAME}) or known_files.days is distinct from excluded.days
"""  # noqa: S608 - no value is written into it
_DUE = "select path, version from known_files where table_name = %s and due && %s::date[]"
_LOADED = """
    update known_files set due = array(select unnest(due) except select unnest(%(days)s::date[]))
    from unnest(%(paths)s::text[], %(versions)s::text[]) as found (path, version)
    where table_name = %(table)s and known_files.path = found.path and known_files.version = found.version
        and due && %(days)s::date[]
"""
_NOTE_LISTED = """
    update known_files set unlisted_since = case when path = any(%(gone)s::text[]) then clock_timestamp() end
    where table_name = %(table)s and path = any(%(gone)s::text[] || %(back)s::text[])
"""
_CLAIM = "update known_files set tick = %s where table_name = %s and path = any(%s)"


@dataclass(frozen=True)
class FileDays:
    """The days of a file's rows (None: not known of all), and those to load since it is new."""

    days: Days | None
    due: Days


@dataclass(frozen=True)
class Known:
    """What is known of a file: its version, the days of its rows (None: not of all), and the days due.

    `unlisted` says that the last look did not find it; it is forgotten if that lasts.
    """

    version: str
    days: Days | None
    due: Days
    tick: int | None
    unlisted: bool = False


def read_known(table: SourceTable, zone: ZoneInfo) -> dict[str, Known]:
    """Return what is known of the files of `table` by their paths, as it is declared now."""
    with borrow(databases().ops) as connection:
        rows = (
            connection.cursor(row_factory=tuple_row)
            .execute(_SELECT, (table.raw_table, _digest(table, zone)))
            .fetchall()
        )
    return {
        path: Known(version, None if days is None else frozenset(days), frozenset(due), tick, unlisted)
        for path, version, days, due, tick, unlisted in rows
    }


def record(table: SourceTable, zone: ZoneInfo, found: Mapping[Entry, FileDays]) -> None:
    """Note the days of files' rows; what is due is added where the version is a new one."""
    if not found:
        return
    with borrow(databases().ops) as connection:
        connection.execute(
            _RECORD,
            {
                "table": table.raw_table,
                "spec": _digest(table, zone),
                "paths": [entry.path for entry in found],
                "versions": [entry.version for entry in found],
                "days": ["-" if each.days is None else _array(each.days) for each in found.values()],
                "due": [_array(each.due) for each in found.values()],
            },
        )


def note_loaded(
    table: SourceTable, find_version: Callable[[str], str | None], days: Collection[dt.date]
) -> None:
    """Note that `days` were loaded from the versions of files that `find_version` returns for their paths."""
    with borrow(databases().ops) as connection:
        due = connection.execute(_DUE, (table.raw_table, list(days))).fetchall()
        loaded = [(path, version) for path, version in due if find_version(path) == version]
        if loaded:
            paths, versions = zip(*loaded, strict=True)
            values = {"paths": list(paths), "versions": list(versions), "days": list(days)}
            connection.execute(_LOADED, {"table": table.raw_table, **values})


def claim(table: SourceTable, paths: Collection[str], tick: int) -> None:
    """Note that the look number `tick` asks for the days that are due for these files."""
    with borrow(databases().ops) as connection:
        connection.execute(_CLAIM, (tick, table.raw_table, list(paths)))


def note_listed(table: SourceTable, there: Mapping[str, Known], listed: Collection[str]) -> None:
    """Note which of the files that are known the source does not list any more, or lists again."""
    paths = set(listed)
    gone = [path for path, one in there.items() if path not in paths and not one.unlisted]
    back = [path for path, one in there.items() if path in paths and one.unlisted]
    if gone or back:
        with borrow(databases().ops) as connection:
            connection.execute(_NOTE_LISTED, {"table": table.raw_table, "gone": gone, "back": back})


def _array(days: Collection[dt.date]) -> str:
    return f"{{{','.join(map(str, sorted(days)))}}}"


def _digest(table: SourceTable, zone: ZoneInfo) -> str:
    """Return what tells how rows get their days."""
    event = table.event_time
    column = table.columns[event.column].model_dump_json() if event else ""
    files = table.files.model_dump_json(exclude={"stable_after"}) if table.files else ""
    text = f"{event and event.model_dump_json()} {column} {files} {zone.key}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
