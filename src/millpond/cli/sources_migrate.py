"""`millpond sources migrate`: rows that are loaded get the types that the spec declares by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from millpond.naming import ref_option

if TYPE_CHECKING:
    from millpond.ingestion.spec import SourceTable
    from millpond.ingestion.type_changes import TypeChange

COLUMNS = ("asset", "column", "from", "to", "values", "lost", "examples")


def migrate(
    name: Annotated[
        str, typer.Argument(help="Source, source.table, table or asset, for example dlt_glucose_entries.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be converted, and write nothing.")
    ] = False,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Convert the rows of raw tables to the types that the spec declares by now. No request is sent.

    A table is converted as a whole in one commit, or not at all: if a value has no exact counterpart in the
    new type, nothing is written and the run says which. Each day gets a new data version, so that what reads
    the table is stale. Exits with 1 if values would be lost.

    Examples: millpond sources migrate nightscout --dry-run
              millpond sources migrate nightscout.glucose_entries
    """
    from millpond.cli import output
    from millpond.cli.arguments import require_ref
    from millpond.cli.sensitive import hide_changes
    from millpond.ingestion.migration import plan_migration
    from millpond.ingestion.type_changes import find_type_changes

    tables, on = _find_tables(name), require_ref(ref)
    if not dry_run:
        outcomes = [each for table in tables if (each := _migrate(table, on, as_json=as_json))]
        if as_json:
            output.print_json(outcomes)
        elif not outcomes:
            typer.echo(f"nothing to do: {name} has the types of the spec")
        if not all(outcome.success for outcome in outcomes):
            raise typer.Exit(1)
        return
    plans = [(table, change) for table in tables for change in hide_changes(plan_migration(table, on), table)]
    if as_json:
        output.print_json([{"asset": table.asset, **vars(change)} for table, change in plans])
    elif plans:
        output.print_rows_as_table(COLUMNS, [_as_row(table, change) for table, change in plans])
    else:
        typer.echo(f"nothing to do: {name} has the types of the spec")
    for table in tables:
        if not as_json and not table.has_days and find_type_changes(table, on):
            _say_loaded_whole(table, on)
    if any(change.lost for _, change in plans):
        raise typer.Exit(1)


def _find_tables(name: str) -> list[SourceTable]:
    from millpond.ingestion.reading import find_table, load_sources
    from millpond.settings import settings

    sources = load_sources(settings())
    if found := [table for source in sources if source.source == name for table in source.tables]:
        return found
    of, _, rest = name.rpartition(".")
    source, index = find_table([each for each in sources if each.source == of] or sources, rest)
    return [source.tables[index]]


def _migrate(table: SourceTable, ref: str, *, as_json: bool) -> Any:
    """Convert a table with a run of its asset; returns how it ended, None where there is nothing to do."""
    from millpond.ingestion.migration import find_days
    from millpond.ingestion.type_changes import find_type_changes

    if not table.has_days:
        if find_type_changes(table, ref) and not as_json:
            _say_loaded_whole(table, ref)
        return None
    changes = find_type_changes(table, ref)
    days = find_days(table, ref)
    if days is None or (not changes and _is_recorded(table, ref)):
        return None
    from millpond.cli.startup import start_companion

    with start_companion(needed=False):
        from millpond.cli.progress import run_with_progress
        from millpond.resources.run import ACCEPT_TAG

        tags = {ACCEPT_TAG: "migrate"}
        outcome = run_with_progress(table.asset, days, quiet=as_json, ref=ref, tags=tags)
    if outcome.success and not as_json:
        shown = ", ".join(f"{each.column} is {each.after} ({each.before} before)" for each in changes)
        typer.echo(f"{table.asset} {days}: {shown or 'the days of the last migration are recorded'}")
        below = f"""'key:"{table.asset}"+ and not key:"{table.asset}"'"""
        typer.echo(f"  what reads it is stale: millpond backfill {below} --stale{ref_option(ref)}")
        typer.echo("  a daily model that has such a column too gets its type with materialize --full-refresh")
    return outcome


def _is_recorded(table: SourceTable, ref: str) -> bool:
    """Return whether the run that converted the table last, if one did, also recorded its days."""
    from millpond.ingestion.migration import find_last_migration
    from millpond.instance.home import open_instance

    run_id = find_last_migration(table, ref)
    if run_id is None:
        return True
    with open_instance() as instance:
        run = instance.get_run_by_id(run_id)
    return run is None or run.is_success


def _say_loaded_whole(table: SourceTable, ref: str) -> None:
    typer.echo(
        f"{table.asset} is loaded whole, so its next load has the new types:"
        f" millpond materialize {table.asset}{ref_option(ref)}"
    )


def _as_row(table: SourceTable, change: TypeChange) -> list[Any]:
    examples = ", ".join(change.samples)
    return [table.asset, change.column, change.before, change.after, change.values, change.lost, examples]
