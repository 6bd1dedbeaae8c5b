"""What the load of a table of a source with `rest` needs of its window, checked when the spec is read."""

from __future__ import annotations

from collections.abc import Sequence

from millpond.ingestion.rest import placeholders
from millpond.ingestion.spec_rules import check_unit
from millpond.ingestion.table_spec import SourceTable


def check_window(table: SourceTable, tables: Sequence[SourceTable]) -> None:
    """Raise ValueError unless the window of `table` fits what it loads: days, changes, or the whole.

    `tables` are those of the source, of which one may be its parent.
    """
    given, reach = table.bounds, table.window.reach
    if table.parent and _is_asked_by_parent(table, table.parent, tables):
        return
    if table.http.include_from_parent and not table.parent:
        raise ValueError(
            f"{table.name} includes fields of a parent and names none; for example"
            ' path: "orders/{resources.orders.id}/lines"'
        )
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


def _is_asked_by_parent(table: SourceTable, name: str, tables: Sequence[SourceTable]) -> bool:
    """Return whether the rows of `table` are those below the parents of the time asked for.

    Below parents that are listed whole, it asks for a time itself, or for none. Raises ValueError.
    """
    parent = next((each for each in tables if each.name == name), None)
    if parent is None or parent.parent or parent.endpoint is None:
        raise ValueError(
            f"{table.name} is below {name}, which is no table of this source that is requested by itself; for"
            f" example {{resources.{tables[0].name}.{tables[0].key[0]}}}"
        )
    if table.http.paginator.type == "newest_first" or table.window.reach or table.news:
        raise ValueError(
            f"{table.name} is below {name}: leave out newest_first, reach and news, which are for a single"
            " listing; for example paginator: { type: header_link }"
        )
    if not parent.has_days:
        return False
    if parent.window.reach:
        raise ValueError(
            f"{table.name} is below {name}, of which not all days are listed (window.reach); for example"
            ' window: { params: { since: "{start_iso}" } }'
        )
    assert parent.asked_time
    column = parent.asked_time.column
    field = f"_{name}_{'_'.join(parent.columns[column].path(column))}"
    mine, included = table.asked_time, ".".join(parent.columns[column].path(column))
    is_its_time = mine is not None and table.columns[mine.column].path(mine.column) == (field,)
    if table.load != parent.load or not is_its_time or included not in table.http.include_from_parent:
        role = "changes" if parent.changes else "event_time"
        raise ValueError(
            f"{table.name} is below {name}, whose rows are asked for by {column}: so load is {parent.load},"
            f" {role} is a column with field: {field}, and endpoint.include_from_parent has"
            f" {included}; or load {name} whole"
        )
    if table.bounds:
        raise ValueError(
            f"{table.name} is below {name}, whose rows are asked for by time: leave out"
            f" {next(iter(table.bounds.values()))}; for example window: {{}}"
        )
    return True


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
