"""Rows whose time cannot be read: the days they may belong to, and which days are not loaded for that.

Such a row is quarantined, but a day without rows may be its own, and then that day is not empty.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb

from millpond.errors import TimesUnreadable
from millpond.ingestion.contract import SEPARATOR
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.naming import ref_option
from millpond.partitions import Window, contiguous

_DAY = dt.timedelta(days=1)
_SHOWN = 3


@dataclass(frozen=True)
class _Group:
    """Rows without a readable time that may belong to the same days; `sure` if their place names the day."""

    sure: bool
    between: tuple[dt.date, dt.date]
    asked: tuple[dt.date, dt.date]
    reasons: Mapping[str, int]

    @property
    def rows(self) -> int:
        return sum(self.reasons.values())

    def breaks(self, rules: Collection[str]) -> bool:
        return any(rule in rules for reason in self.reasons for rule in reason.split(SEPARATOR))


def place_rows_without_time(
    connection: duckdb.DuckDBPyConnection,
    table: SourceTable,
    window: Window,
    streams: Sequence[dt.date],
    dated: str,
    stream: str,
    asked_for: Sequence[Window] | None = None,
    have_time: bool = False,
) -> bool:
    """Make table `undated`: each row of `split` without a time, the days it may be of, and one to file it.

    Returns whether there may be any; no table if not.

    `dated` is a query for `_seq`, `__micros` and `day` of each row, the days before and after `window`
    included; `stream` the expression for a row's stream of requests.
    A stream asked for days, `asked_for` or those up to the next one; so its rows belong to these (`asked_lo`
    to `asked_hi`). If its rows are in order
    of their days, the rows around one say more (`lo` to `hi`); a list of all rows (window.reach) says
    nothing else. All rows `have_time` if that is known.
    """
    missing = "select 1 from split where __micros is null limit 1"
    if table.load != "days" or have_time or not connection.execute(missing).fetchone():
        return False
    reach = table.window.reach is not None
    spans = list(zip(streams, [*streams[1:], window.end], strict=True))
    if asked_for:
        spans = [(each.start, each.end) for each in asked_for]
    if reach:
        spans = [(window.start - _DAY, window.end + _DAY)]
    asked = ", ".join(f"({n}, date '{lo}', date '{hi - _DAY}')" for n, (lo, hi) in enumerate(spans))
    inside = f"between date '{window.start}' and date '{window.last}'"
    connection.execute(
        f"""
        create temp table undated as
        with dated as (select *, {stream} as stream from ({dated})),
        orders as (
            select stream, coalesce(bool_and(step >= 0), true) as rising,
                   coalesce(bool_and(step <= 0), true) as falling
            from (select stream, day - lag(day) over (partition by stream order by _seq) as step
                  from dated where day is not null)
            group by stream
        ), around as (
            select _seq, stream, __micros,
                   last_value(day ignore nulls) over (
                       partition by stream order by _seq rows unbounded preceding) as before,
                   first_value(day ignore nulls) over (
                       partition by stream order by _seq
                       rows between current row and unbounded following) as after
            from dated
        ), placed as (
            select *, greatest(first, case when rising and falling then if(before = after, before, first)
                                           when rising then before when falling then after end) as lo,
                      least(last, case when rising and falling then if(before = after, before, last)
                                       when rising then after when falling then before end) as hi
            from around left join orders using (stream)
            join (values {asked}) as asked (stream, first, last) using (stream)
            where __micros is null
        )
        select _seq, lo, hi,
               {"lo" if reach else "first"} as asked_lo, {"hi" if reach else "last"} as asked_hi,
               case when lo = hi and lo {inside} then lo when before {inside} then before
                    when after {inside} then after else greatest(first, date '{window.start}') end as part,
               lo = hi and lo = part as sure
        from placed
        """  # noqa: S608 - dates alone are written into it
    )
    return True


def find_uncertain_days(
    table: SourceTable, validated: ValidatedRows, ref: str
) -> dict[dt.date, TimesUnreadable]:
    """Return an error for each day that may lack rows whose time cannot be read.

    These are days without a good row to which any such row may belong; and where no such day explains them,
    all days between which there are more of them than `quarantine` allows.
    """
    counts, groups = validated.counts, list(_groups(validated.connection)) if validated.undated else []
    may_lack: dict[dt.date, list[_Group]] = {}
    for group in groups:
        asked = [day for day in counts if group.asked[0] <= day <= group.asked[1]]
        doubtful = [day for day in asked if not counts[day].good or group.breaks(validated.contract.fatal)]
        between = [day for day in counts if group.between[0] <= day <= group.between[1]]
        if not doubtful and not group.sure and _too_many(table, group, [counts[day] for day in between]):
            doubtful = between
        for day in doubtful:
            may_lack.setdefault(day, []).append(group)
    return _errors(table, may_lack, counts, ref)


def _too_many(table: SourceTable, group: _Group, counts: Sequence[Counts]) -> bool:
    """Return whether one of the days with these `counts` fails by its share of bad rows, whichever it is."""
    dated = sum(found.good + found.bad - found.undated for found in counts)
    rule = table.quarantine
    return group.rows >= rule.least and group.rows > rule.fail_above * (group.rows + dated)


def _groups(connection: duckdb.DuckDBPyConnection) -> Iterator[_Group]:
    rows = connection.execute(
        """
        select sure, lo, hi, asked_lo, asked_hi, __reason, count(*)
        from undated join judged using (_seq) where __fate = 'bad' group by all order by all
        """
    ).fetchall()
    for (sure, *days), found in groupby(rows, key=lambda row: row[:5]):
        lo, hi, asked_lo, asked_hi = days
        yield _Group(sure, (lo, hi), (asked_lo, asked_hi), {row[5]: row[6] for row in found})


def _errors(
    table: SourceTable,
    may_lack: Mapping[dt.date, Sequence[_Group]],
    counts: Mapping[dt.date, Counts],
    ref: str,
) -> dict[dt.date, TimesUnreadable]:
    """Return the error of each day, one for all days in a row that may lack the same rows."""
    errors: dict[dt.date, TimesUnreadable] = {}
    alike: dict[tuple[str, bool], list[dt.date]] = {}
    for day, groups in may_lack.items():
        reasons: Counter[str] = Counter()
        for group in groups:
            reasons.update(group.reasons)
        listed = "; ".join(f"{reason} ({rows})" for reason, rows in reasons.most_common(_SHOWN))
        first, last = min(group.asked[0] for group in groups), max(group.asked[1] for group in groups)
        asked = Window.of_days(max(first, min(counts)), min(last, max(counts)))
        text = f"{sum(reasons.values())} rows listed for {asked} have no readable time: {listed}"
        alike.setdefault((text, len(asked) > 1), []).append(day)
    for (text, together), days in alike.items():
        for window in contiguous(days):
            empty = "" if any(counts[day].good for day in window.days) else "no good row, but "
            advice = "see what the source sends as the time of its rows, or correct event_time in the spec"
            if table.files and table.files.kind == "csv":
                advice += "; if it is a total at the end of a file, set skip_footer: 1 in csv of its files"
            if together and table.window.params:
                option = f"--partition {window.start}{ref_option(ref)}"
                advice = (
                    f"`millpond materialize {table.asset} {option}` asks for that day alone, which shows"
                    f" whether they are its own; or {advice}"
                )
            error = TimesUnreadable(
                f"{table.describe(window)}: {empty}{text}; they may belong here",
                unharmed="what was loaded before of these days; nothing of them was written",
                next_step=advice,
            )
            errors |= dict.fromkeys(window.days, error)
    return errors
