"""`millpond tables`, `millpond sql`, and `millpond retire` for tables without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from millpond.cli import history

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata


app = typer.Typer(invoke_without_command=True)
app.command("history")(history.table_history)
app.command("rollback")(history.rollback)


@app.callback()
def tables(
    context: typer.Context,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch to list; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the tables of the lake with their rows, bytes, files, snapshots and last change (UTC).

    A narrow terminal shows fewer columns, a line a table; --json has all.
    `millpond tables history TABLE` lists the commits that changed one.

    Example: millpond tables
    """
    if context.invoked_subcommand:
        return
    from millpond.cli import output
    from millpond.lake.pins import hold_pin
    from millpond.settings import settings, source_names

    with hold_pin(ref or settings().ref) as pin:
        from millpond.lake.metadata import read_metadata

        rows = [(name, *_read_figures(read_metadata(at))) for name, at in sorted(pin.pointers.items())]
    columns = ("table", "rows", "bytes", "files", "snapshots", "changed_at")
    if as_json:
        output.print_rows_as_json(columns, rows)
        return
    short = [(*row[:-1], row[-1] and row[-1][: len("2026-11-01 08:00")]) for row in rows]
    if omitted := output.print_fitting_table(columns, short, ("snapshots", "files", "bytes", "changed_at")):
        output.print_text(
            f"Not shown in {output.get_terminal_width()} columns: {', '.join(omitted)}; --json has all."
        )
    if orphaned := _list_tables_without_model([name for name, *_ in rows]):
        typer.echo(f"Tables without a model: {', '.join(orphaned)}. Next: millpond retire")
    if not rows:
        sources = source_names(settings().project)
        begin = "millpond demo, or millpond materialize '*'" if sources else "add a source to sources/"
        typer.echo(f"The lake is empty. Next: {begin}")


def _list_tables_without_model(names: list[str]) -> list[str]:
    from millpond.cli.retirable import list_tables_without_model
    from millpond.errors import ConfigError

    try:
        return list_tables_without_model(names)
    except ConfigError:  # the project does not parse; the lake can be listed anyway
        return []


def _read_figures(table: TableMetadata) -> tuple[int, int, int, int, str | None]:
    import datetime as dt

    snapshot = table.current_snapshot()
    if snapshot is None:
        return 0, 0, 0, 0, None
    totals = ("total-records", "total-files-size", "total-data-files")
    rows, size, files = (int((snapshot.summary and snapshot.summary[name]) or 0) for name in totals)
    changed = dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC)
    return rows, size, files, len(table.snapshots), changed.isoformat(" ", "seconds")


if TYPE_CHECKING:
    from millpond.cli.retirable import Retirable


def retire(
    name: Annotated[
        str | None, typer.Argument(help="Table without a model, gold.former, or mart, marts.former.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Rename it to this instead: gold.latter.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Restore a retired table.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Apply the change; without it, only show it.")
    ] = False,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List tables and marts whose model no longer exists; drop one, or rename it.

    Without a name they are listed. With a name it shows what it would do; --yes does it: the table is removed
    from the lake, and its mart from Postgres. The files stay until housekeeping removes them
    (MILLPOND_ORPHAN_RETENTION_DAYS); until then --undo restores the table with its history.

    Examples: millpond retire
              millpond retire gold.former
              millpond retire gold.former --yes
              millpond retire gold.former --to gold.latter --yes
              millpond retire gold.former --undo --yes
    """
    from millpond.cli.arguments import require_ref
    from millpond.cli.retirable import list_retirable

    if (to and undo) or (name is None and (to or undo)):
        raise typer.BadParameter("name the table, and give either --to or --undo")
    on = require_ref(ref)
    if name is None:
        _print_list(list_retirable(on), as_json=as_json)
        return
    steps = _restore(name, on, yes=yes) if undo else _retire(name, to, on, yes=yes)
    if as_json:
        from millpond.cli import output

        output.print_json({"ref": on, "done": yes, "steps": steps})
        return
    for step in steps:
        typer.echo(f"{'done' if yes else 'would'}: {step}")
    if not yes:
        typer.echo("Nothing was changed. Next: repeat it with --yes")
    elif not undo and not to and not name.startswith("marts"):
        typer.echo(f"Undo: millpond retire {name} --undo --yes")


def _restore(name: str, ref: str, *, yes: bool) -> list[str]:
    from millpond.lake import retirement

    if yes:
        retirement.restore(name, ref=ref)
    return [f"restore {name}"]


def _retire(name: str, to: str | None, ref: str, *, yes: bool) -> list[str]:
    """Drop or rename the table or mart, if `yes`; returns the steps."""
    from millpond.cli.retirable import check_new_name, get_retirable
    from millpond.lake import retirement
    from millpond.publish.schemas import retire_mart

    orphan = get_retirable(name, ref)
    new = check_new_name(to, orphan, ref) if to else None
    if yes and orphan.mart:
        retire_mart(ref, orphan.mart.partition(".")[2], new)
    if yes and orphan.table and to:
        retirement.rename(orphan.table, to, ref=ref)
    elif yes and orphan.table:
        retirement.retire(orphan.table, ref=ref)
    verb = f"rename to {to}:" if to else "drop"
    return [f"{verb} {each}" for each in (orphan.mart, orphan.table) if each]


def _print_list(found: list[Retirable], *, as_json: bool) -> None:
    from millpond.cli import output

    columns = ("table", "mart", "rows", "changed_at")
    rows = [(o.table, o.mart, o.rows, o.changed_at) for o in found]
    (output.print_rows_as_json if as_json else output.print_rows_as_table)(columns, rows)
    if as_json:
        return
    if found:
        first = found[0].table or found[0].mart
        typer.echo(f"These have no model any more. Next: millpond retire {first}")
    else:
        typer.echo("Every table and mart has a model.")


def sql(
    query: Annotated[
        str,
        typer.Argument(
            help="A SELECT in the engine's SQL (DuckDB; scale: Trino), or - to read standard input."
        ),
    ],
    ref: Annotated[str | None, typer.Option("--ref", help="Branch to read; default: MILLPOND_REF.")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="Read the lake as it was: a commit of `millpond history`, or a time in UTC."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
) -> None:
    """Query the lake and the marts, read-only, at one consistent moment.

    With the profile scale, Trino reads the lake, each table as it is when the query starts, and Postgres
    the marts.

    Tables of the lake are called <layer>.<table> (raw, bronze, silver, gold, quarantine), marts in
    Postgres marts.<table>. `millpond tables` lists them.

    With --at, tables are as they were after a commit or at a time (2026-11-01T08:00); marts are as they are.

    Examples: millpond sql "select reading_date, gmi_pct from gold.fct_daily_glucose_metrics order by 1"
              millpond sql "select count(*) from gold.fct_daily_glucose_metrics" --at 2026-11-01T08:00
    """
    import sys
    from itertools import chain

    from millpond.cli import output
    from millpond.cli.long_table import print_parts_as_table
    from millpond.cli.query import open_query

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv cannot be combined")
    with open_query(sys.stdin.read() if query == "-" else query, ref, at=at) as answer:
        if as_json or as_csv:
            rows = chain.from_iterable(answer.parts)
            (output.print_rows_as_json if as_json else output.print_rows_as_csv)(answer.columns, rows)
            return
        number = print_parts_as_table(answer.columns, answer.parts)
    typer.echo(f"{number} row{'' if number == 1 else 's'}")
