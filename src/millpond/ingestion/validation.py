"""Validates the staged rows of a load by its contract, all at once: good, bad, duplicate or outside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from millpond.ingestion.connection import has_few_rows, open_connection
from millpond.ingestion.contract import SEPARATOR, Contract
from millpond.ingestion.held_rows import are_inside, count_good, list_stream_days
from millpond.ingestion.memory_rows import cast_texts, have_distinct_keys, name_schema
from millpond.ingestion.reader import STREAM_SHIFT, FetchResult
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.split_rows import complete_rows, date, fill, local_day, split_rows
from millpond.ingestion.typed_rows import STAGED_BROKEN, STAGED_LINE
from millpond.ingestion.unknown_fields import find_frequent
from millpond.ingestion.unreadable_times import place_rows_without_time
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.naming import literal
from millpond.partitions import Window


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
    few = has_few_rows(fetched)
    with open_connection(fetched, folder, few=few) as connection:
        schema, held, casts = _schema(connection, fetched), fetched.held, None
        if held is not None:
            if schema is not None:
                held, casts = cast_texts(held, schema, table)
            connection.register("held", held)
        contract = Contract(table, added, schema, zone.key, fetched.marked, fetched.may_hold_nul, casts)
        connection.execute(_raw(fetched, contract))
        if held is None or schema is None:
            rows, held = split_rows(connection, contract, window, zone), None
        else:
            held = complete_rows(connection, contract, window, zone, held)
            rows = len(held)
        if fetched.spans is not None:
            _note_days(connection, contract, window, zone, fetched, held)
        undated = _place(connection, contract, window, fetched, held)
        duplicates = 0
        if held is None or not have_distinct_keys(held, contract.key):
            duplicates = _find_duplicates(connection, contract, few=few)
        noted = _judge(connection, contract, duplicates)
        if held is not None and not noted and not undated and contract.table.load == "days":
            counts = count_good(held, window)
            others = rows - sum(found.good for found in counts.values())
        else:
            others = rows - _count(connection, "placed") if fetched.other_days else 0
            counts = count_fates(connection, window, contract.fatal, undated=undated)
        yield ValidatedRows(connection, contract, folder, counts, others, held=held, undated=undated)


def _schema(connection: duckdb.DuckDBPyConnection, fetched: FetchResult) -> pa.Schema | None:
    """Return the types that typed rows have in all files together; None of JSON rows."""
    if fetched.names is None:
        return None
    rows = fetched.held
    if rows is None and fetched.files:
        rows = connection.execute(f"select * from {_read(fetched.files)} limit 0").to_arrow_table()  # noqa: S608
    return name_schema(pa.table({}) if rows is None else rows, fetched.names)


def _read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(literal(str(file)) for file in files)}], union_by_name = true)"


def _raw(fetched: FetchResult, contract: Contract) -> str:
    marks = f", null::varchar as {STAGED_BROKEN}, null::varchar as {STAGED_LINE}" if fetched.marked else ""
    payload = "" if contract.rows else f", '' as {PAYLOAD}"
    none = f"(select 0::bigint as _seq{payload}{marks} where false)"
    found = _read(fetched.files) if fetched.files else none if fetched.held is None else "held"
    if contract.rows:
        return f"create temp view raw as select *, {contract.payload()} as {PAYLOAD} from {found}"  # noqa: S608
    mark = f", {STAGED_BROKEN}" if fetched.marked else ""
    return (
        f"create temp view raw as select _seq, {PAYLOAD}{mark}, {contract.readable()} as __json from {found}"  # noqa: S608
    )


def _note_days(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    window: Window,
    zone: ZoneInfo,
    fetched: FetchResult,
    held: pa.Table | None,
) -> None:
    """Note the days of each stream's rows."""
    if held is not None and contract.table.load == "days" and are_inside(held["__day"], window):
        for stream, days in list_stream_days(held):
            fetched.stream_days.setdefault(stream, set()).update(days)
        return
    day = "__day"
    if contract.table.load == "days":  # outside of the window, it is the day next to it
        inside = f"__day between {date(window.start)} and {date(window.last)}"
        day = f"case when {inside} then __day else {local_day(zone)} end"
    sql = f"select distinct _seq >> {STREAM_SHIFT}, {day} from split"  # noqa: S608 - a zone's name
    for stream, found in connection.execute(sql).fetchall():
        fetched.stream_days.setdefault(stream, set()).add(found)


def _place(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    window: Window,
    fetched: FetchResult,
    held: pa.Table | None,
) -> bool:
    """Make view `placed`: the rows of `split` with the day that each is counted for.

    Returns whether table `undated` has those without a time.
    Rows of a table without days are all of one, the window's; rows that changed may be of any day.
    """
    dated, stream = "select _seq, __micros, __day as day from split", f"(_seq >> {STREAM_SHIFT})"
    have_time = held is not None and not held["__micros"].null_count
    undated = place_rows_without_time(
        connection, contract.table, window, fetched.streams, dated, stream, fetched.spans, have_time
    )
    first, last = date(window.start), date(window.last)
    if contract.table.load != "days":
        day = f"coalesce(__day, {first})"
        placed = f"select *, false as __outside, {day} as __part from split"  # noqa: S608 - a date
        connection.execute(f"create temp view placed as {placed}")
        return undated
    asked, elsewhere, part = "", "false", "null::date"
    if undated:
        part = "part"
        elsewhere = f"lo = hi and lo not between {first} and {last}" if fetched.other_days else "false"
    if fetched.spans and not fetched.other_days:
        spans = (f"({n}, {date(each.start)}, {date(each.last)})" for n, each in enumerate(fetched.spans))
        asked = f"join (values {', '.join(spans)}) as spans (stream, first, last) on spans.stream = {stream}"
        first, last = "first", "last"
    connection.execute(
        f"""
        create temp view placed as
        select split.*, coalesce(__day not between {first} and {last}, {elsewhere}, false) as __outside,
               case when __day is null then {part} else greatest({first}, least({last}, __day)) end as __part
        from split {"left join undated using (_seq)" if undated else ""} {asked}
        {"where not __outside" if fetched.other_days else ""}
        """  # noqa: S608
    )
    return undated


def _find_duplicates(connection: duckdb.DuckDBPyConnection, contract: Contract, *, few: bool) -> int:
    """Make table `duplicates`: the rows that a later one with their key, of their day, takes the place of.

    Returns how many there are.

    Where rows are written by key, a key has one row on all days. Only keys whose hash is there more than once
    are looked at: in most loads there is none, and no table.
    """
    apart = ["__outside", *(["__part"] if contract.table.writes == "replace" else [])]
    of = ", ".join([*apart, "coalesce(__key, __fingerprint)"])
    if few:  # of many, this would take as long as the table does
        ((repeated,),) = connection.execute(
            f"select count(*) > count(distinct hash({of})) from placed"  # noqa: S608
        ).fetchall()
        if not repeated:
            return 0
    rank = f"row_number() over (partition by {of} order by {contract.later_first()})"
    return fill(
        connection,
        f"""
        create temp table duplicates as
        with repeated as (select hash({of}) from placed group by 1 having count(*) > 1),
             ranked as (select _seq, {rank} as __rank from placed where hash({of}) in (from repeated))
        select _seq, true as __duplicate from ranked where __rank > 1
        """,  # noqa: S608
    )


def _judge(connection: duckdb.DuckDBPyConnection, contract: Contract, duplicates: int) -> int:
    """Make view `judged`: the rows of `placed`, what becomes of each, and why.

    Returns how many may not be loaded as they are.
    Table `verdicts` has those to which anything happens beside that they are loaded as they are.
    """
    frequent = find_frequent(connection) if contract.table.unknown_columns == "quarantine" else []
    rows = "placed left join duplicates using (_seq)"
    typed = contract.typed(rows if duplicates else "(select *, false as __duplicate from placed)")
    noted = fill(
        connection,
        f"""
        create temp table verdicts as
        select _seq, coalesce(__apart, if(__broke is null, 'good', 'bad')) as __fate,
               if(__apart is null, __broke, null) as __reason,
               if(__apart is null and __broke is null, __null, null) as __nulled
        from (select _seq, {contract.reason(frequent)} as __broke, {contract.nulled()} as __null,
                     case when __outside then 'outside' when __duplicate then 'duplicate' end as __apart
              from {typed}
              where __outside or __duplicate or {contract.noteworthy()})
        """,  # noqa: S608
    )
    fate = (
        "coalesce(__fate, 'good') as __fate, __reason, __nulled from placed left join verdicts using (_seq)"
    )
    if not noted:
        fate = "'good' as __fate, null::varchar as __reason, null::varchar as __nulled from placed"
    connection.execute(f"create temp view judged as select placed.*, {fate}")
    return noted


def count_fates(
    connection: duckdb.DuckDBPyConnection, window: Window, fatal: frozenset[str], *, undated: bool
) -> dict[dt.date, Counts]:
    """Return what became of the judged rows of each day of `window`; some may be `undated`."""
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
    if not undated:
        return counts
    sql = "select __part, count(*) from judged join undated using (_seq) where __fate = 'bad' and not sure"
    for day, rows in connection.execute(f"{sql} group by all").fetchall():
        counts[day].undated = rows
    return counts


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    found: int = connection.execute(f"select count(*) from {table}").fetchall()[0][0]  # noqa: S608 - ours
    return found
