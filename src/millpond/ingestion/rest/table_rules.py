"""What the load of a table of a source with `rest` needs of its window, checked when the spec is read."""

from __future__ import annotations

from millpond.ingestion.rest import placeholders
from millpond.ingestion.spec_rules import check_unit
from millpond.ingestion.table_spec import SourceTable


def check_window(table: SourceTable) -> None:
    """Raise ValueError unless the window of `table` fits what it loads: days, changes, or the whole."""
    given, reach = table.bounds, table.window.reach
    if table.load == "whole":
        _check_whole(table)
        return
    if reach and (given or table.load == "changes"):
        other = next(iter(given), "") or "path"
        raise ValueError(
            f"the window of {table.name} has reach, and "
            + (f"{other} requests a time" if given else "load is changes")
            + '; give it one of them, for example params: { since: "{start_iso}" }'
        )
    if not given and not reach:
        raise ValueError(
            f"the window of {table.name} needs either params (the source filters by time; the same"
            " placeholders may be in endpoint) or reach (it only lists, newest first); for example"
            " reach: { rows: 300, days: 90 }"
        )
    if table.changes:
        check_unit(table.changes.unit, table.columns[table.changes.column].type, "changes")
    used = {name for text in given.values() for name in placeholders.names(text)}
    bounds = [name for name in used if placeholders.is_bound(name)]
    one_day = bounds and all(name.startswith("start") and placeholders.is_date(name) for name in bounds)
    if one_day and (table.window.piece_days != 1 or table.window.zone):
        raise ValueError(
            f"the requests of {table.name} name one day, so each is for one day of the configured zone; for"
            " example window: { piece_days: 1 }"
        )


def _check_whole(table: SourceTable) -> None:
    if table.bounds or table.window.reach:
        what = "reach" if table.window.reach else next(iter(table.bounds.values()))
        raise ValueError(
            f"{table.name} is loaded whole, so no time is requested: leave out {what}; for example load: days"
        )
    if table.news:
        raise ValueError(f"{table.name} is loaded whole, so it has no news; give it a cadence, for example")
    if table.http.paginator.type == "newest_first":
        raise ValueError(
            f"{table.name} is loaded whole: the paginator newest_first needs bounds of time;"
            " for example paginator: { type: single_page }"
        )
