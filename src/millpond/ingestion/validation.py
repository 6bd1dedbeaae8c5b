"""Validates the staged rows of a load by its contract, all at once: good, bad, duplicate or outside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from millpond.ingestion.contract import SEPARATOR, Contract
from millpond.ingestion.json_sql import BLANKS, ROW
from millpond.ingestion.reader import STREAM_SHIFT, FetchResult
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.typed_rows import STAGED_BROKEN, STAGED_LINE, staged_name
from millpond.ingestion.unknown_fields import find_frequent
from millpond.ingestion.unreadable_times import place_rows_without_time
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.naming import literal
from millpond.partitions import Window, instant

MEMORY = "800MB"
"""What judging may hold in memory; beyond that it goes to the staging folder."""
_DAY = dt.timedelta(days=1)


@contextmanager
def validate_rows(
    table: SourceTable,
    fetched: FetchResult,
    window: Window,
    zone: ZoneInfo,
    added: Mapping[str, str],
    folder: Path,
) -> Iterator[ValidatedRows]:
    """Yield what became of the rows that were fetched.

    `added` are the columns (name → field) that the spec does not name.

    A row belongs to the day of `zone` that its time lies in. One without a time is counted for the day of
    the rows around it; one outside of `window` for the window's day next to it. Of the rows of a day with
    one key the latest is judged, the others are duplicates.
    """
    folder.mkdir(exist_ok=True)
    with duckdb.connect(":memory:", config=_config(folder)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        contract = Contract(table, added, _schema(connection, fetched), zone.key, fetched.marked)
        connection.execute(_raw(fetched, contract))
        _split(connection, contract)
        if fetched.spans is not None:
            _note_days(connection, zone, fetched)
        _place(connection, contract, window, zone, fetched)
        _judge(connection, contract)
        others = _count(connection, "split") - _count(connection, "judged") if fetched.other_days else 0
        counts = count_fates(connection, window, contract.fatal)
        yield ValidatedRows(connection, contract, folder, counts, others)


def _config(folder: Path) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": MEMORY,
        "temp_directory": str(folder / "spilled"),
        "preserve_insertion_order": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
    }


def _schema(connection: duckdb.DuckDBPyConnection, fetched: FetchResult) -> pa.Schema | None:
    """Return the types that typed rows have in all files together; None of JSON rows."""
    if fetched.names is None:
        return None
    found: dict[str, pa.DataType] = {}
    if fetched.files:
        rows = connection.execute(f"select * from {_read(fetched.files)} limit 0").to_arrow_table()  # noqa: S608
        found = {field.name: field.type for field in rows.schema}
    kinds = [found.get(staged_name(place), pa.null()) for place in range(len(fetched.names))]
    return pa.schema([pa.field(name, kind) for name, kind in zip(fetched.names, kinds, strict=True)])


def _read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(literal(str(file)) for file in files)}], union_by_name = true)"


def _raw(fetched: FetchResult, contract: Contract) -> str:
    marks = f", null::varchar as {STAGED_BROKEN}, null::varchar as {STAGED_LINE}" if fetched.marked else ""
    payload = "" if contract.rows else f", '' as {PAYLOAD}"
    none = f"(select 0::bigint as _seq{payload}{marks} where false)"
    found = _read(fetched.files) if fetched.files else none
    if contract.rows:
        return f"create temp view raw as select *, {contract.payload()} as {PAYLOAD} from {found}"  # noqa: S608
    mark = f", {STAGED_BROKEN}" if fetched.marked else ""
    return (
        f"create temp view raw as select _seq, {PAYLOAD}{mark}, {contract.readable()} as __json from {found}"  # noqa: S608
    )


def _split(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Make table `split`: what each row says, and what is wrong with it as such."""
    more = f"strlen({PAYLOAD}) as __bytes, case when __json then {contract.row()} end as {ROW}"
    if contract.rows:
        more = f"0 as __bytes, {contract.readable()} as __json"
    connection.execute(
        f"""
        create temp table split as
        select * exclude ({PAYLOAD}, __json), {contract.split()}, {contract.time()} as __micros,
               {contract.key()} as __key,
               case when {contract.key()} is null
                    then md5(trim({contract.payload()}, {BLANKS}))
                         || case when __json then '' else _seq::varchar end
                    end as __fingerprint
        from (select *, {more} from raw)
        """  # noqa: S608
    )


def _note_days(connection: duckdb.DuckDBPyConnection, zone: ZoneInfo, fetched: FetchResult) -> None:
    """Note the days of each stream's rows."""
    day = f"timezone({literal(zone.key)}, make_timestamptz(__micros))::date"
    sql = f"select distinct _seq >> {STREAM_SHIFT}, {day} from split"  # noqa: S608 - a zone's name
    for stream, found in connection.execute(sql).fetchall():
        fetched.stream_days.setdefault(stream, set()).add(found)


def _place(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    window: Window,
    zone: ZoneInfo,
    fetched: FetchResult,
) -> None:
    """Make table `placed`: the day of each row, and its rank among those of that day with the same key.

    Rows of a table without days are all of one, the window's; rows that changed may be of any day. Where
    rows are written by key, a key has one row on all days.
    """
    starts = ", ".join(f"({_date(day)}, {_micros(day, zone)})" for day in window.days)
    begin, end = _micros(window.start, zone), _micros(window.end, zone)
    dated = f"""
        select _seq, __micros, case when day is not null then day
                                    when __micros < {begin} then {_date(window.start - _DAY)}
                                    when __micros >= {end} then {_date(window.end)} end as day
        from (select _seq, __micros from split)
        asof left join (select * from (values {starts}, (null, {end})) as s (day, lo)) on __micros >= lo
        """  # noqa: S608
    stream = f"(_seq >> {STREAM_SHIFT})"
    place_rows_without_time(connection, contract.table, window, fetched.streams, dated, stream, fetched.spans)
    asked = f"cross join (select {_date(window.start)} as first, {_date(window.last)} as last)"
    elsewhere = "lo = hi and lo not between first and last" if fetched.other_days else "false"
    if fetched.spans and not fetched.other_days:
        spans = (f"({n}, {_date(each.start)}, {_date(each.last)})" for n, each in enumerate(fetched.spans))
        asked = f"join (values {', '.join(spans)}) as spans (stream, first, last) on spans.stream = {stream}"
    parted = f"""
        select _seq, coalesce(day not between first and last, {elsewhere}, false) as __outside,
               case when day is null then part else greatest(first, least(last, day)) end as __part
        from ({dated}) left join undated using (_seq) {asked}
        """  # noqa: S608
    if contract.table.load != "days":
        day = _date(window.start)
        if contract.table.has_days:
            day = f"coalesce(timezone({literal(zone.key)}, make_timestamptz(__micros))::date, {day})"
        parted = f"select _seq, false as __outside, {day} as __part from split"  # noqa: S608
    apart = "__part," if contract.table.writes == "replace" else ""
    connection.execute(
        f"""
        create temp table placed as
        with parted as ({parted})
        select _seq, __part, __outside,
               row_number() over (partition by __outside, {apart} coalesce(__key, __fingerprint)
                                  order by {contract.later_first()}) as __rank
        from parted join split using (_seq)
        {"where not __outside" if fetched.other_days else ""}
        """  # noqa: S608
    )


def _judge(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Make table `judged`: what becomes of each row, and why."""
    frequent = find_frequent(connection) if contract.table.unknown_columns == "quarantine" else []
    connection.execute(
        f"""
        create temp table judged as
        select _seq, __part, __bytes, __key,
               case when not __outside and __rank = 1 then __broke end as __reason,
               case when __outside or __rank > 1 or __broke is not null then null else __null end as __nulled,
               case when __outside then 'outside' when __rank > 1 then 'duplicate'
                    when __broke is not null then 'bad' else 'good' end as __fate
        from (select *, {contract.reason(frequent)} as __broke, {contract.nulled()} as __null
              from {contract.typed("split join placed using (_seq)")})
        """  # noqa: S608
    )


def count_fates(
    connection: duckdb.DuckDBPyConnection, window: Window, fatal: frozenset[str]
) -> dict[dt.date, Counts]:
    """Return what became of the judged rows of each day of `window`."""
    counts = {day: Counts() for day in window.days}
    sql = "select __part, __fate, __reason, __nulled, count(*), sum(__bytes)::bigint from judged group by all"
    for day, fate, reason, nulled, rows, size in connection.execute(sql).fetchall():
        found = counts.setdefault(day, Counts())
        setattr(found, fate, getattr(found, fate) + rows)
        found.bytes += size
        if reason:
            found.reasons[reason] = found.reasons.get(reason, 0) + rows
            found.fatal.update(fatal.intersection(reason.split(SEPARATOR)))
        for text in nulled.split(SEPARATOR) if nulled else ():
            found.note_null(text, rows)
    sql = "select __part, count(*) from judged join undated using (_seq) where __fate = 'bad' and not sure"
    for day, rows in connection.execute(f"{sql} group by all").fetchall():
        counts[day].undated = rows
    return counts


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    found: int = connection.execute(f"select count(*) from {table}").fetchall()[0][0]  # noqa: S608 - ours
    return found


def _micros(day: dt.date, zone: ZoneInfo) -> int:
    return int(instant(day, zone).timestamp()) * 1_000_000


def _date(day: dt.date) -> str:
    return f"date '{day}'"
