"""`millpond mcp`: a server for agents over standard input and output."""

from __future__ import annotations

from typing import NoReturn

import typer


def mcp() -> NoReturn:
    """Serve agents by the Model Context Protocol over standard input and output.

    Agents read tables, assets, health, alerts and quarantine, and query with a limit of rows and time. They
    write to branches only. Columns declared as sensitive are not served. A client starts this command by
    itself, see docs/agents.md; it ends when its input ends. Its packages are installed into an environment
    of their own the first time, which needs a package index; afterwards it needs no network.

    Example: millpond mcp
    """
    import os

    from millpond.runtime.databases import databases, refuse_other_version
    from millpond.runtime.environments import Environment
    from millpond.settings import process_environment

    refuse_other_version()
    databases()
    python = Environment("mcp", overlay=True).ensure(lambda line: typer.echo(line, err=True))
    os.execve(python, [str(python), "-m", "millpond.mcp"], process_environment())  # noqa: S606
