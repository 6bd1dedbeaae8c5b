"""`millpond down`: the embedded parts, stopped."""

from __future__ import annotations

import typer


def down() -> None:
    """Stop every part that runs for this installation. Data stays; the next command starts what it needs.

    Example: millpond down
    """
    from millpond.runtime.down import down as stop_all
    from millpond.settings import settings

    stopped = stop_all(settings())
    for name in stopped:
        typer.echo(f"stopped {name}")
    if not stopped:
        typer.echo("nothing was running")
