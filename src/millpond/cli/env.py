"""`millpond env`: how other programs connect."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Print shell lines that let Dagster's own commands run here.")
    ] = False,
) -> None:
    """Print how other programs connect: Postgres, the Iceberg catalog, Dagster.

    Starts the embedded parts where they do not run yet. The values hold credentials of this
    installation; they are valid on this machine only.

    Example: eval "$(millpond env --export)" && dagster asset list
    """
    from millpond.cli import output
    from millpond.cli.connections import connections

    found = connections()
    if export:
        for name in ("DAGSTER_HOME", "DAGSTER_MODULE_NAME"):
            typer.echo(f"export {name}={shlex.quote(found[name.lower()])}")
    elif as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
    else:
        output.rows_as_table(("name", "value"), list(found.items()))
