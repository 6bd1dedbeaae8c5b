"""`millpond upgrade`: a home brought to the release that is installed."""

from __future__ import annotations

from typing import Annotated

import typer


def upgrade(
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit with 1 if something is to be upgraded."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Bring this home to the Millpond that is installed: its state in Postgres, and Dagster's storage.

    Type it after `pip install --upgrade millpond`. May be repeated; after an interruption it goes on. Refuses
    while runs are in progress. Data in the lake and the marts is not touched.

    Example: millpond upgrade --check
    """
    from importlib import metadata

    from millpond.cli import output, upgrade_home

    home = upgrade_home.home_changes() if upgrade_home.is_there() else []
    if not check and upgrade_home.is_there():
        upgrade_home.refuse_while_working(is_changed=bool(home))
        upgrade_home.migrate_home()
    state = "to do" if check else "done"
    if as_json:
        changes = [{"part": each.part, "change": each.change, "state": state} for each in home]
        output.as_json({"millpond": metadata.version("millpond"), "changes": changes})
    elif home:
        output.rows_as_table(("part", "change", "state"), [(each.part, each.change, state) for each in home])
    else:
        typer.echo(f"nothing to upgrade: the home is as Millpond {metadata.version('millpond')} needs it")
    if check and home:
        raise typer.Exit(1)
