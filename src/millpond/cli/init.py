"""`millpond init`: a new project in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[
        Path,
        typer.Argument(metavar="NAME", help="Folder to make; its name becomes that of the Python package."),
    ],
    template: Annotated[
        str,
        typer.Option("--template", help="What is in it: glucose, a source with models, or empty."),
    ] = "glucose",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Make a new project: sources/, dbt/, Python definitions, tests, settings, containers and CI.

    The folder must be new or empty. Everything in it is yours to change; the platform itself stays in the
    installed package, and `millpond upgrade` brings a later release's changes to these files.

    Example: millpond init my_project
    """
    import shlex

    from millpond.cli import output
    from millpond.errors import ConfigError
    from millpond.project.create import create

    if template not in ("glucose", "empty"):
        raise ConfigError(
            f"there is no template {template!r}",
            unharmed="everything; nothing was written",
            next_step="choose glucose or empty",
        )
    folder = create(name, template)  # type: ignore[arg-type]
    if as_json:
        output.as_json({"project": str(folder), "template": template})
        return
    typer.echo(f"made {folder}\n")
    typer.echo("Next:")
    typer.echo(f"  cd {shlex.quote(str(name))}")
    if template == "glucose":
        typer.echo("  millpond demo                     # 30 days of demo data through every layer")
    typer.echo(f"  millpond materialize my_report    # an asset of your own: {folder.name}/definitions.py")
    typer.echo("  millpond up                       # Dagster's pages, its daemon, every embedded part")
