"""`millpond config` and `millpond env`: every setting, and how other programs connect."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from millpond.redaction import redacted

app = typer.Typer(no_args_is_help=True, help="Show the settings of this installation.")


@app.callback()
def _group() -> None:
    """Show the settings of this installation."""


@app.command("show")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print every setting with its value and its origin; secrets are masked.

    Example: millpond config show --json
    """
    from millpond import settings as s
    from millpond.cli import output
    from millpond.settings.sources import SourceSettings

    current, origin = s.settings(), s.origins()
    rows: list[tuple[str, object, str, str]] = []
    for name, field in s.Settings.model_fields.items():
        if name != "sources":
            var = s.variable(name)
            rows.append(
                (var, _mask(getattr(current, name)), origin.get(var, "default"), field.description or "")
            )
    for source in s.source_names(current.project):
        for name, field in SourceSettings.model_fields.items():
            var = s.variable(name, source)
            value = getattr(current.source(source), name)
            rows.append((var, _mask(value), origin.get(var, "default"), field.description or ""))
    columns = ("setting", "value", "origin", "meaning")
    (output.print_rows_as_json if as_json else output.print_rows_as_table)(columns, rows)


def _mask(value: object) -> str | int | None:
    if value is None or isinstance(value, int):
        return value
    return redacted(str(value))


def env(
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch to connect to; default: MILLPOND_REF.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Print a catalog token and a role of the marts that may write; by default both only read.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Print shell lines for Dagster's own commands.")
    ] = False,
    as_recipes: Annotated[
        bool,
        typer.Option("--recipes", help="Print how to connect psql, DuckDB, PyIceberg, DBeaver and Superset."),
    ] = False,
) -> None:
    """Print how other programs connect: Postgres, the Iceberg catalog, Dagster.

    Starts the embedded parts that do not run yet. The values include credentials of this installation,
    which are valid on this machine only. The token of the Iceberg catalog and the role of the marts only
    read: what other programs write is published without the checks of a run.

    Examples: eval "$(millpond env --export)" && dagster asset list; millpond env --recipes
    """
    from millpond.cli.arguments import require_ref
    from millpond.cli.connections import build_recipes, get_connections, get_dagster_variables

    if export:
        for name, value in get_dagster_variables(require_ref(ref)).items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        return
    found = shown = get_connections(require_ref(ref), write=write)
    if as_recipes:
        from millpond.lake.read import list_tables

        shown = build_recipes(found, list_tables(found["ref"]))
    if as_json:
        import json

        typer.echo(json.dumps(shown, indent=2))
    elif as_recipes:
        typer.echo("\n\n".join(f"# {program}\n{lines}" for program, lines in shown.items()))
    else:
        from millpond.cli import output

        output.print_rows_as_table(("name", "value"), list(shown.items()))
