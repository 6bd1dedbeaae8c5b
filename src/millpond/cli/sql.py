"""`millpond sql`: one query over the lake and the marts."""

from __future__ import annotations

from typing import Annotated

import typer


def sql(
    query: Annotated[
        str,
        typer.Argument(
            help="A SELECT in the engine's SQL (DuckDB; scale: Trino), or - to read standard input."
        ),
    ],
    ref: Annotated[str | None, typer.Option("--ref", help="Branch to read; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
) -> None:
    """Query the lake and the marts, read-only, at one consistent moment.

    Under the profile scale Trino reads the lake, each table as it is when the query begins, and Postgres
    the marts.

    Tables of the lake are called <layer>.<table> (raw, bronze, silver, gold, quarantine), marts in
    Postgres marts.<table>. `millpond tables` lists them.

    Example: millpond sql "select reading_date, gmi_pct from gold.fct_daily_glucose_metrics order by 1"
    """
    import sys

    from millpond.cli import output
    from millpond.cli.query import run_query

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    columns, rows = run_query(sys.stdin.read() if query == "-" else query, ref)
    if as_json:
        output.rows_as_json(columns, rows)
    elif as_csv:
        output.rows_as_csv(columns, rows)
    else:
        output.rows_as_table(columns, rows)
        typer.echo(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
