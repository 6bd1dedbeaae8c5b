"""`millpond history`, `undo`, `tables history` and `tables rollback`: commits, and undoing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millpond.lake.history import Undo
    from millpond.lake.ref_log import Commit, TableMove
    from millpond.runs.undo import Undone

_Ref = Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")]
_CommitId = Annotated[str, typer.Argument(help="First characters of its id; `millpond history` lists them.")]
_Later = Annotated[
    bool, typer.Option("--with-later", help="Undo later commits that changed the same tables too.")
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Apply the change; without it, only show it.")]


def history(ref: _Ref = None, limit: _Limit = 20, as_json: _Json = False) -> None:
    """List the commits of the lake: loads, merges of builds and branches, undos; their run, tables and rows.

    A commit moves the pointers of all its tables at once. `millpond undo` takes one back, and
    `millpond sql` with `--at` reads the lake as it was after one.

    Examples: millpond history
              millpond history --limit 100 --json
    """
    _print_commits(_list(ref, limit, None), as_json=as_json)


def table_history(
    table: Annotated[str, typer.Argument(help="Table, such as gold.fct_daily_glucose_metrics.")],
    ref: _Ref = None,
    limit: _Limit = 20,
    as_json: _Json = False,
) -> None:
    """List the commits that changed one table, with its rows before and after.

    Example: millpond tables history gold.fct_daily_glucose_metrics
    """
    from millpond.naming import table_name

    table_name(table)
    commits = _list(ref, limit, table)
    if not commits:
        _refuse_unknown(table, ref)
    _print_commits(commits, as_json=as_json, table=table)


def undo(
    commit: _CommitId,
    with_later: _Later = False,
    yes: _Yes = False,
    ref: _Ref = None,
    as_json: _Json = False,
) -> None:
    """Undo a whole commit: its tables get the versions from before it, all at once.

    Dagster's record of the days is corrected, and marts of the tables are published again. Tables of
    one commit stay together; if later commits changed one of them, --with-later undoes these as well.
    An undo is a commit too, and can be undone while its files are there. Schedules are not stopped:
    pause them first (`millpond automation pause`) if the next run would load the same rows again.

    Examples: millpond undo 3f2a81c0
              millpond undo 3f2a81c0 --with-later --yes
    """
    _undo(commit, None, with_later=with_later, yes=yes, ref=ref, as_json=as_json)


def rollback(
    table: Annotated[str, typer.Argument(help="Table, such as gold.fct_daily_glucose_metrics.")],
    commit: _CommitId,
    force: Annotated[
        bool, typer.Option("--force", help="Roll back a table that was committed together with others.")
    ] = False,
    with_later: _Later = False,
    yes: _Yes = False,
    ref: _Ref = None,
    as_json: _Json = False,
) -> None:
    """Give one table the version from before a commit, and leave the commit's other tables.

    Tables that were built together then no longer fit together, which is why it needs --force if there
    are others; `millpond undo` takes back all of them.

    Example: millpond tables rollback gold.dim_device 3f2a81c0 --force --yes
    """
    _undo(commit, table, with_later=with_later, yes=yes, ref=ref, as_json=as_json, force=force)


def _undo(
    commit: str,
    table: str | None,
    *,
    with_later: bool,
    yes: bool,
    ref: str | None,
    as_json: bool,
    force: bool = False,
) -> None:
    from millpond.cli import output
    from millpond.cli.arguments import require_ref
    from millpond.lake.history import plan_undo

    on = require_ref(ref)
    plan = plan_undo(on, commit, with_later=with_later, table=table)
    if table is not None:
        _refuse_parting(plan, table, force=force)
    if not yes:
        if as_json:
            output.print_json({"done": False, **_as_dict(plan)})
            return
        _print_plan(plan, "would undo")
        typer.echo("Nothing was changed. Next: repeat it with --yes")
        return
    from millpond.definitions import defs
    from millpond.runs.undo import undo as undo_plan

    done = undo_plan(plan, defs)
    failed = done.published is not None and not done.published.success
    if as_json:
        output.print_json({"done": True, **_as_dict(plan), **_summarize(done)})
    else:
        _print_plan(plan, "undid")
        _print_done(done)
    if failed:
        raise typer.Exit(1)


def _refuse_parting(plan: Undo, table: str, *, force: bool) -> None:
    from millpond.errors import RefRefused

    others = sorted({name for commit in plan.commits for name in commit.tables} - {table})
    if others and not force:
        first = plan.commits[-1].id[:8]
        raise RefRefused(
            f"{table} was committed together with {', '.join(others)}",
            unharmed=f"every table of {plan.ref}; nothing moved",
            next_step=f"undo all of them (`millpond undo {first}`), or add --force",
        )


def _list(ref: str | None, limit: int, table: str | None) -> list[Commit]:
    from millpond.cli.arguments import require_ref
    from millpond.lake.ref_log import list_commits

    return list_commits(require_ref(ref), limit=limit, table=table)


def _refuse_unknown(table: str, ref: str | None) -> None:
    """Raise RefRefused unless the table exists, though nothing that changed it is in the log any more."""
    from millpond.cli.arguments import require_ref
    from millpond.lake.connect import borrow_connection
    from millpond.lake.pointers import read_pointers
    from millpond.lake.ref_log import refuse

    on = require_ref(ref)
    with borrow_connection() as conn:
        there = read_pointers(conn, on, [table])
    if not there:
        what = f"{on} has no table {table}, and none in its log of commits"
        raise refuse(on, what, f"`millpond tables --ref {on}` lists the tables")


def _print_commits(commits: list[Commit], *, as_json: bool, table: str | None = None) -> None:
    from millpond.cli import output

    if as_json:
        output.print_json([_commit_as_dict(commit) for commit in commits])
        return
    for commit in commits:
        _print_commit(commit, [move for move in commit.moves if table in (None, move.table)])
    if commits:
        _print_next(commits, table)
    elif table:
        typer.echo(f"The commits that changed {table} are not in the log any more.")
    else:
        typer.echo("Nothing was committed yet. Next: millpond materialize '*'")


def _print_next(commits: Sequence[Commit], table: str | None) -> None:
    """Print which versions a wipe removed, and the newest commit that can be undone."""
    from millpond.cli import output
    from millpond.lake.ref_log import LAYOUT_ACTIONS, WIPE

    wipe = next((commit for commit in commits if commit.action == WIPE), None)
    if wipe and table:
        output.print_text(
            f"Days of {table} were wiped at {wipe.at:%Y-%m-%d %H:%M} UTC, and its versions from before"
            f" removed: they cannot be shown or undone. --at {wipe.id[:8]} shows it right after the wipe."
        )
    wiped = set[str]()
    for commit in commits:
        if commit.action == WIPE:
            wiped |= set(commit.tables)
        elif commit.action not in LAYOUT_ACTIONS and not wiped & set(commit.tables):
            typer.echo(f"Next: millpond undo {commit.id[:8]}")
            return


def _print_commit(commit: Commit, moves: Sequence[TableMove]) -> None:
    from millpond.lake.history import count_rows

    of = (
        f"of {commit.branch[:8]}" if commit.action == "undo" else commit.run_id and f"run {commit.run_id[:8]}"
    )
    by = f" by {commit.client}" if commit.client else ""
    what = f"{commit.action} {of or commit.branch}".rstrip()
    typer.echo(f"{commit.id[:8]}  {commit.at:%Y-%m-%d %H:%M} UTC  {what}{by}")
    width = max(len(move.table) for move in moves)
    for move in moves:
        shown = "view" if move.kind == "VIEW" else _format_rows(*count_rows(move))
        typer.echo(f"  {move.table:{width}}  {shown}")


def _format_rows(before: int | None, after: int | None) -> str:
    shown = ["–" if rows is None else f"{rows:,}" for rows in (before, after)]
    return f"{shown[0]} → {shown[1]} rows"


def _print_plan(plan: Undo, verb: str) -> None:
    from millpond.cli import output
    from millpond.lake.history import count_rows, find_days

    for commit in plan.commits:
        typer.echo(f"{verb}: {commit.action} {commit.id[:8]} of {commit.at:%Y-%m-%d %H:%M} UTC")
    rows = []
    for move in plan.moves:
        before, now = count_rows(move)
        rows.append(
            (move.table, str(find_days(move)), f"{now or 0:,}", "none" if before is None else f"{before:,}")
        )
    output.print_rows_as_table(("table", "days", "rows", "rows after undo"), rows)


def _print_done(done: Undone) -> None:
    from millpond.cli import output

    typer.echo(f"Dagster's record: {done.recorded} materializations restored")
    if done.published is not None:
        state = "published again" if done.published.success else "not published, and as before"
        output.print_text(f"{', '.join(done.marts)}: {state}")
    if done.emptied:
        output.print_text(f"{', '.join(done.emptied)}: emptied, as nothing was built yet before that commit")
    if done.stale:
        output.print_text(f"Built from what was undone, stale now: {', '.join(done.stale)}")
    typer.echo(f"Undo this: millpond undo {done.commit.id[:8]}")


def _as_dict(plan: Undo) -> dict[str, Any]:
    from millpond.lake.history import count_rows, find_days

    moves = []
    for move in plan.moves:
        before, now = count_rows(move)
        moves.append(
            {"table": move.table, "days": str(find_days(move)), "rows": now, "rows_after_undo": before}
        )
    return {"ref": plan.ref, "commits": [_commit_as_dict(c) for c in plan.commits], "tables": moves}


def _commit_as_dict(commit: Commit) -> dict[str, Any]:
    from millpond.lake.history import count_rows

    tables = []
    for move in commit.moves:
        before, after = count_rows(move)
        tables.append({"table": move.table, "rows_before": before, "rows_after": after})
    return {
        "id": commit.id,
        "at": commit.at,
        "action": commit.action,
        "branch": commit.branch,
        "run_id": commit.run_id,
        "client": commit.client,
        "tables": tables,
    }


def _summarize(done: Undone) -> dict[str, Any]:
    return {
        "commit": done.commit.id,
        "materializations": done.recorded,
        "marts": done.marts,
        "published": done.published.success if done.published else None,
        "emptied": done.emptied,
        "stale": done.stale,
    }
