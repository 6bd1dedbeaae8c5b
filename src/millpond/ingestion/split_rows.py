"""The rows of a load with what each of them says: its values, its time, its day and its key."""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from millpond.ingestion.contract import Contract
from millpond.ingestion.json_sql import BLANKS, ROW
from millpond.ingestion.memory_rows import append_columns
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.naming import literal
from millpond.partitions import Window, instant

_DAY: Final = dt.timedelta(days=1)
_DAY_MICROS: Final = 86_400_000_000


def split_rows(
    connection: duckdb.DuckDBPyConnection, contract: Contract, window: Window, zone: ZoneInfo
) -> int:
    """Make table `split`: what each row says, when it happened, and what is wrong with it as such.

    Returns how many rows there are.
    """
    more = f"strlen({PAYLOAD}) as __bytes, {contract.row()} as {ROW}, {ROW} is not null as __json"
    if contract.rows:
        more = f"0 as __bytes, {contract.readable()} as __json"
    rows = f"(select {'*' if contract.rows else '* exclude (__json)'}, {more} from raw)"  # noqa: S608 - ours
    day = _day(window, zone) if contract.table.load == "days" else local_day(zone)
    return fill(
        connection,
        f"""
        create temp table split as
        select _seq, __bytes, {contract.split()}, {contract.time()} as __micros,
               {day} as __day, __key, {_fingerprint(contract)} as __fingerprint
        from {contract.taken(rows)}
        """,  # noqa: S608
    )


def fill(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Create a table of what is selected; returns its number of rows."""
    ((rows,),) = connection.execute(sql).fetchall()
    return int(rows)


def complete_rows(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    window: Window,
    zone: ZoneInfo,
    held: pa.Table,
) -> pa.Table:
    """Make view `split` over `held` rows; returns them with the values that are not taken as they are."""
    day = _day(window, zone) if contract.table.load == "days" else local_day(zone)
    columns = ["_seq", *contract.cast(), f"{contract.time()} as __micros", f"{day} as __day", "__key"]
    sql = f"select {', '.join(columns)} from {contract.taken('raw')}"  # noqa: S608 - names quoted, literals
    computed = connection.execute(sql).to_arrow_table()
    held = append_columns(held, computed)
    connection.register("completed", held)
    fingerprint = _fingerprint(contract) if held["__key"].null_count else "null::varchar"
    connection.execute(
        f"create temp view split as select *, {contract.faults()}, {fingerprint} as __fingerprint"  # noqa: S608
        f" from (select *, 0 as __bytes, {contract.readable()} as __json from completed)"
    )
    return held


def _fingerprint(contract: Contract) -> str:
    """Return the expression by which rows without a key are told apart: equal ones are one row."""
    own = "case when __json then '' else _seq::varchar end"
    return f"case when __key is null then md5(trim({contract.payload()}, {BLANKS})) || {own} end"


def _day(window: Window, zone: ZoneInfo) -> str:
    """Return the expression for a row's day; for the day before or after `window` where it is outside.

    Days without a change of the clock are told apart by division.
    """
    alike: list[list[dt.date]] = []
    for day in window.days:
        if alike and _micros(day, zone) - _micros(alike[-1][-1], zone) == _DAY_MICROS:
            alike[-1].append(day)
        else:
            alike.append([day])
    cases = [f"when __micros >= {_micros(window.end, zone)} then {date(window.end)}"]
    for days in reversed(alike):
        low = _micros(days[0], zone)
        number = f"((__micros - {low}) // {_DAY_MICROS})::int"
        cases.append(f"when __micros >= {low} then least({date(days[-1])}, {date(days[0])} + {number})")
    cases.append(f"when __micros is not null then {date(window.start - _DAY)}")
    return f"case {' '.join(cases)} end"


def local_day(zone: ZoneInfo) -> str:
    """Return the expression for a row's day in `zone`."""
    return f"timezone({literal(zone.key)}, make_timestamptz(__micros))::date"


def _micros(day: dt.date, zone: ZoneInfo) -> int:
    return int(instant(day, zone).timestamp()) * 1_000_000


def date(day: dt.date) -> str:
    """Return a day as SQL."""
    return f"date '{day}'"
