"""`millpond down`: the embedded parts, stopped."""

from __future__ import annotations

from typing import Annotated

import typer


def down(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """Stop every part that runs for this installation. Data stays; the next command starts what it needs.

    Example: millpond down
    """
    from millpond.cli import output
    from millpond.runtime.down import down as stop_all
    from millpond.settings import settings

    stopped = stop_all(settings())
    if as_json:
        output.as_json({"stopped": stopped})
        return
    for name in stopped:
        typer.echo(f"stopped {name}")
    if not stopped:
        typer.echo("nothing was running")
