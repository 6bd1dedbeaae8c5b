"""`millpond tables`: what the lake holds."""

from __future__ import annotations

from typing import Annotated

import typer


def tables(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the tables of the lake with their rows, bytes, files and last change.

    Example: millpond tables
    """
    from millpond.cli import output
    from millpond.lake.read import summaries
    from millpond.settings import settings

    columns = ("table", "rows", "bytes", "files", "snapshots", "changed_at")
    rows = [[getattr(s, c) for c in columns] for s in summaries(settings().ref)]
    (output.rows_as_json if as_json else output.rows_as_table)(columns, rows)
    if not rows and not as_json:
        typer.echo("The lake is empty. Next: millpond demo, or millpond materialize dlt_glucose_entries")
