"""`millpond retire`: tables and marts whose model is gone from the dbt project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.cli.orphaned import Orphaned


def retire(
    name: Annotated[
        str | None, typer.Argument(help="Table without a model, gold.former, or mart, marts.former.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Rename it to this instead: gold.latter.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Bring a retired table back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without, only show it.")] = False,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List tables and marts that no model of the project makes any more; drop one, or rename it.

    Without a name they are listed. With one it shows what it would do, and does it with --yes: the table
    leaves the lake, and its mart leaves Postgres. The files stay until housekeeping removes what no branch
    leads to (MILLPOND_ORPHAN_RETENTION_DAYS); until then --undo brings the table back, with its history.

    Examples: millpond retire
              millpond retire gold.former
              millpond retire gold.former --yes
              millpond retire gold.former --to gold.latter --yes
              millpond retire gold.former --undo --yes
    """
    from millpond.cli.orphaned import find_orphaned
    from millpond.cli.refs import existing

    if (to and undo) or (name is None and (to or undo)):
        raise typer.BadParameter("name the table, and give either --to or --undo")
    on = existing(ref)
    if name is None:
        _print_list(find_orphaned(on), as_json=as_json)
        return
    steps = _restore(name, on, yes=yes) if undo else _retire(name, to, on, yes=yes)
    if as_json:
        from millpond.cli import output

        output.as_json({"ref": on, "done": yes, "steps": steps})
        return
    for step in steps:
        typer.echo(f"{'done' if yes else 'would'}: {step}")
    if not yes:
        typer.echo("Nothing was changed. Next: repeat it with --yes")
    elif not undo and not to and not name.startswith("marts"):
        typer.echo(f"Undo: millpond retire {name} --undo --yes")


def _restore(name: str, ref: str, *, yes: bool) -> list[str]:
    from millpond.lake import retiring

    if yes:
        retiring.restore(name, ref=ref)
    return [f"bring back {name}"]


def _retire(name: str, to: str | None, ref: str, *, yes: bool) -> list[str]:
    """Drop or rename what is named, if `yes`; returns the steps."""
    from millpond.cli.orphaned import orphan_named, refuse_target
    from millpond.lake import retiring
    from millpond.publish.schemas import retire_mart

    orphan = orphan_named(name, ref)
    new = refuse_target(to, orphan, ref) if to else None
    if yes and orphan.mart:
        retire_mart(ref, orphan.mart.partition(".")[2], new)
    if yes and orphan.table and to:
        retiring.rename(orphan.table, to, ref=ref)
    elif yes and orphan.table:
        retiring.retire(orphan.table, ref=ref)
    verb = f"rename to {to}:" if to else "drop"
    return [f"{verb} {each}" for each in (orphan.mart, orphan.table) if each]


def _print_list(found: list[Orphaned], *, as_json: bool) -> None:
    from millpond.cli import output

    columns = ("table", "mart", "rows", "changed_at")
    rows = [(o.table, o.mart, o.rows, o.changed_at) for o in found]
    (output.rows_as_json if as_json else output.rows_as_table)(columns, rows)
    if as_json:
        return
    if found:
        first = found[0].table or found[0].mart
        typer.echo(f"No model makes these any more. Next: millpond retire {first}")
    else:
        typer.echo("Every table and mart has its model.")
