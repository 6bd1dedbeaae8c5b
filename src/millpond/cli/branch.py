"""`millpond branch`: list, create, compare, merge and drop branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from millpond.naming import MAIN_REF

if TYPE_CHECKING:
    from millpond.lake.refs import MergeResult, Ref

app = typer.Typer(no_args_is_help=True, help="Branches of the lake: copies of pointers, not of data.")

Name = Annotated[str, typer.Argument(help="Name of the branch.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List main and every branch: what it was created from, its age, its run, how many tables it changed.

    An audit is the branch of a run; a kept audit failed, and its purpose says why.

    Example: millpond branch list
    """
    from millpond.cli import branch_view, output
    from millpond.lake.refs import list_refs

    refs = list_refs()
    if as_json:
        output.print_json([branch_view.as_dict(ref) for ref in refs])
    else:
        branch_view.print_list(refs)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a branch: what it was created from, its history, and which tables it changed.

    Example: millpond branch show dev
    """
    from millpond.cli import branch_view, output
    from millpond.lake.refs import diff, read_history

    ref = _get_branch(name)
    changes, events = diff(name), read_history(name)
    if as_json:
        output.print_json({**branch_view.as_dict(ref), "tables": changes, "history": events})
    else:
        branch_view.print_one(ref, changes, events)


@app.command()
def create(
    name: Name,
    base: Annotated[str, typer.Option("--from", help="Ref to create it from.")] = MAIN_REF,
    purpose: Annotated[str, typer.Option("--purpose", help="What it is for, shown by `branch list`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create a branch with all tables of main (or --from) as they are now. No data is copied.

    Example: millpond branch create dev --purpose "try another GMI formula"
    """
    from millpond.cli import output
    from millpond.cli.branch_view import as_dict
    from millpond.lake import refs
    from millpond.naming import pluralize

    created = refs.create(name, base, purpose)
    if as_json:
        output.print_json(as_dict(created))
        return
    typer.echo(f"created {name} from {base}: {pluralize(created.tables, 'table')}, no data copied")
    typer.echo(f'Next: millpond materialize "ASSET*" --ref {name}')
    typer.echo(f"      millpond branch diff {name}")


@app.command()
def diff(
    name: Name,
    table: Annotated[
        list[str] | None, typer.Option("--table", "-t", help="Compare only this table; may be repeated.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=0, max=1000, help="Rows shown of each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show which rows of which tables a branch added, removed and changed, by key.

    It is compared with the ref it was created from, as that was then; later changes there are listed
    separately. Columns that only say where a row came from do not count.

    Example: millpond branch diff dev --table gold.fct_daily_glucose_metrics --samples 10
    """
    from millpond.cli import branch_view, output
    from millpond.cli.sensitive import hide_comparison
    from millpond.lake.comparison import compare

    comparison = hide_comparison(compare(name, table, samples=samples))
    if as_json:
        output.print_json(branch_view.comparison_as_dict(comparison))
    else:
        branch_view.print_comparison(comparison)


@app.command()
def merge(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Merge even a branch that failed its audit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move everything a branch changed into the ref it was created from, all at once, and drop the branch.

    Days that only one side changed are combined; if both changed a day, the merge is refused and nothing
    moves. Materializations on the branch then count for main in Dagster; the branch's marts are dropped.

    Example: millpond branch merge dev
    """
    from millpond.cli import branch_view, output
    from millpond.lake import refs
    from millpond.publish.schemas import drop_marts

    ref = _get_branch(name)
    if ref.kept and not force:
        raise branch_view.failed_audit_error(ref)
    changes = refs.diff(name)
    merged = refs.merge(name)
    marts = drop_marts(name)
    found = _promote(ref, merged) if changes else 0
    if as_json:
        done = {"changes": changes, "marts_dropped": marts, "materializations": found}
        output.print_json({**vars(merged), **done})
    else:
        branch_view.print_merged(merged, changes, marts, found)


@app.command()
def drop(name: Name, as_json: AsJson = False) -> None:
    """Drop a branch, with the marts that were published from it.

    Example: millpond branch drop dev
    """
    from millpond.cli import output
    from millpond.lake import refs
    from millpond.naming import pluralize
    from millpond.publish.schemas import drop_marts

    ref = _get_branch(name)
    refs.drop(name)
    marts = drop_marts(name)
    if as_json:
        output.print_json({"ref": name, "base": ref.base, "changed": ref.changed, "marts_dropped": marts})
        return
    gone = [pluralize(ref.changed, "changed table"), *([pluralize(len(marts), "mart")] if marts else [])]
    typer.echo(f"dropped {name} with its {' and '.join(gone)}; {ref.base} is unchanged")


@app.command()
def clean(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", help="Age such as 7d, 12h; default: MILLPOND_BRANCH_RETENTION_DAYS."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop old audit branches of failed runs. Branches that you created stay.

    Example: millpond branch clean --older-than 7d --dry-run
    """
    from millpond.cli import branch_view, output
    from millpond.cli.arguments import parse_span
    from millpond.lake.housekeeping import drop_old_branches

    dropped = drop_old_branches(parse_span(older_than) if older_than is not None else None, dry_run=dry_run)
    if as_json:
        output.print_json({"dry_run": dry_run, "branches": [branch_view.as_dict(ref) for ref in dropped]})
        return
    for ref in dropped:
        typer.echo(f"{'would drop' if dry_run else 'dropped'} {ref.name}, of {ref.created_at:%Y-%m-%d %H:%M}")
    if not dropped:
        typer.echo("no audit branch is old enough")


def _get_branch(name: str) -> Ref:
    """Return a branch; raises RefNotFound, LakeError for main."""
    from millpond.lake.refs import get_branch

    return get_branch(name)


def _promote(ref: Ref, merged: MergeResult) -> int:
    from millpond.instance.home import open_instance
    from millpond.instance.promotion import promote_observations
    from millpond.publish.assets import GROUP

    with open_instance() as recorded:
        return promote_observations(
            recorded,
            ref.name,
            merged.into,
            since=ref.created_at,
            rebased=bool(merged.rebased),
            but=(GROUP,),
        )
