"""`millpond tables`: what the lake holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pyiceberg.table import Table


def tables(
    ref: Annotated[str | None, typer.Option("--ref", help="Branch to list; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the tables of the lake with their rows, bytes, files, snapshots and last change.

    Example: millpond tables
    """
    from millpond.cli import output
    from millpond.lake.pins import pinned
    from millpond.lake.read import loaded, table_names
    from millpond.settings import settings, source_names

    with pinned(ref or settings().ref) as pin:
        rows = [(name, *_figures(loaded(pin, name))) for name in table_names(pin)]
    columns = ("table", "rows", "bytes", "files", "snapshots", "changed_at")
    (output.rows_as_json if as_json else output.rows_as_table)(columns, rows)
    if as_json:
        return
    if orphaned := _without_a_model([name for name, *_ in rows]):
        typer.echo(f"No model makes {', '.join(orphaned)} any more. Next: millpond retire")
    if not rows:
        sources = source_names(settings().project)
        begin = "millpond demo, or millpond materialize '*'" if sources else "add a source to sources/"
        typer.echo(f"The lake is empty. Next: {begin}")


def _without_a_model(names: list[str]) -> list[str]:
    from millpond.cli.orphaned import tables_without_a_model
    from millpond.errors import ConfigError

    try:
        return tables_without_a_model(names)
    except ConfigError:  # a project that does not parse; the lake can be listed all the same
        return []


def _figures(table: Table) -> tuple[int, int, int, int, str | None]:
    import datetime as dt

    snapshot = table.current_snapshot()
    if snapshot is None:
        return 0, 0, 0, 0, None
    totals = ("total-records", "total-files-size", "total-data-files")
    rows, size, files = (int((snapshot.summary and snapshot.summary[name]) or 0) for name in totals)
    changed = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC)
    return rows, size, files, len(table.snapshots()), changed.isoformat(" ", "seconds")
