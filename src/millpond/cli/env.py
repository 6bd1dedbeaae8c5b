"""`millpond env`: how other programs connect."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer


def env(
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch to connect to; default: MILLPOND_REF.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Hand out a catalog token and a role of the marts that write; by default both only read.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Print shell lines that let Dagster's own commands run here.")
    ] = False,
    as_recipes: Annotated[
        bool,
        typer.Option("--recipes", help="Print lines for psql, DuckDB, PyIceberg, DBeaver, Superset."),
    ] = False,
) -> None:
    """Print how other programs connect: Postgres, the Iceberg catalog, Dagster.

    Starts the embedded parts where they do not run yet. The values hold credentials of this
    installation; they are valid on this machine only. The token of the Iceberg catalog and the role
    of the marts only read: what other programs write is published without the checks that a run makes first.

    Examples: eval "$(millpond env --export)" && dagster asset list; millpond env --recipes
    """
    from millpond.cli.connections import connections, dagster_variables
    from millpond.cli.recipes import recipes
    from millpond.cli.refs import existing

    if export:
        for name, value in dagster_variables(existing(ref)).items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        return
    found = shown = connections(existing(ref), write=write)
    if as_recipes:
        from millpond.lake.read import table_names

        shown = recipes(found, table_names(found["ref"]))
    if as_json:
        import json

        typer.echo(json.dumps(shown, indent=2))
    elif as_recipes:
        typer.echo("\n\n".join(f"# {program}\n{lines}" for program, lines in shown.items()))
    else:
        from millpond.cli import output

        output.rows_as_table(("name", "value"), list(shown.items()))
