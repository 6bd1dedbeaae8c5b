"""`millpond backup`, `backup verify` and `restore`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from millpond.naming import pluralize

_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Folder = Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the backup.")]


class _Group(TyperGroup):
    """Takes `millpond backup PATH` for `millpond backup create PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command before a path, or an option of it; refuse a command with a typo."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            word = next((arg for arg in args if not arg.startswith("-")), "")
            near = difflib.get_close_matches(word, self.commands, n=1, cutoff=0.7)
            if near and "/" not in word and not Path(word).exists():
                ctx.fail(f"No such command {word!r}. Did you mean {near[0]!r}? For a new folder: ./{word}")
            args = ["create", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help="Back this home up into a folder, or verify a backup. `millpond backup PATH` is short for "
    "`millpond backup create PATH`.\n\nExample: millpond backup /mnt/backup/lake",
)


@app.command()
def create(
    path: _Folder,
    no_data: Annotated[
        bool,
        typer.Option(
            "--no-data", help="Leave the files of the lake where they are, and only back up the databases."
        ),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Back up the databases at one moment, and the files of the lake; others may go on writing.

    PATH is new, empty or holds a backup, which this one replaces when it is complete. Files of the lake
    that are there already are not copied again. The project's own files (sources, models) are not in it:
    keep them in git. `millpond restore PATH` restores it.

    Examples: millpond backup /mnt/backup/lake
              millpond backup /mnt/backup/lake --no-data --json
    """
    from millpond.backup.create import back_up, to_dict
    from millpond.cli import output

    with _show_progress(as_json) as report:
        made = back_up(path.expanduser().absolute(), with_data=not no_data, report=report)
    found = to_dict(made)
    if as_json:
        output.print_json({"path": str(path), **found})
        return
    tables = pluralize(found["tables"], "table")
    typer.echo(
        f"backed up {tables} of {pluralize(found['rows'], 'row')}"
        if made.record.with_data
        else f"backed up the databases and the pointers of {tables}; their files stay in "
        f"{made.record.warehouse}"
    )
    if made.record.with_data:
        typer.echo(
            f"copied {pluralize(made.copied_files, 'file')}, {made.copied_bytes / 1e6:.1f} MB; the backup"
            f" has {pluralize(made.record.files, 'file')} of the lake, {made.record.bytes / 1e6:.1f} MB"
        )
    if made.record.outside:
        typer.echo(
            f"not copied: {pluralize(made.record.outside, 'file')} of tables outside {made.record.warehouse}"
        )
    if made.record.profile != "scale":
        typer.echo(f"Next: millpond backup verify {path}")


@app.command()
def verify(path: _Folder, as_json: _Json = False) -> None:
    """Restore a backup into a temporary home, compare it with what was backed up, and remove it.

    Compares the checksum of every file, the rows and values of every table of the lake and every mart,
    and the rows of Dagster's storage. The home itself is not touched. Exits with 1 if anything differs.
    The folder for temporary files (TMPDIR) needs the room of the backup.

    Example: millpond backup verify /mnt/backup/lake
    """
    from millpond.backup.verification import verify as verify_backup
    from millpond.cli import output

    with _show_progress(as_json) as report:
        found = verify_backup(path.expanduser().absolute(), report)
    rows = [(c.table.name, c.table.ref, c.table.rows, c.rows, c.equal) for c in found.tables]
    if as_json:
        names = ("table", "ref", "rows", "rows_restored", "equal")
        output.print_json(
            {
                "path": str(path),
                "created_at": found.record.created_at,
                "tables": [dict(zip(names, row, strict=True)) for row in rows],
                "differences": found.differences,
                "success": found.success,
            }
        )
    else:
        _print_comparison(found.record.created_at, rows, found.differences)
    if not found.success:
        raise typer.Exit(1)


def restore(
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="Folder of the backup.")] = None,
    from_warehouse: Annotated[
        bool,
        typer.Option(
            "--from-warehouse", help="The databases are lost, and there is no backup: rebuild the catalog."
        ),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Restore a backup into an empty home, here or on another machine; the next run continues from there.

    The home (MILLPOND_HOME) may be at another path than before: what names files is rewritten. Runs that
    were in progress are recorded as canceled. A home that is not empty is refused. If it is interrupted,
    repeat it.

    With --from-warehouse the home's own warehouse is all that is left: its tables get their last versions
    on main, Dagster a record of the days that are there, and marts are published. It says what is lost.

    Examples: millpond restore /mnt/backup/lake
              millpond restore --from-warehouse
    """
    if (path is None) != from_warehouse:
        raise typer.BadParameter("name the folder of a backup, or give --from-warehouse")
    if path is None:
        _rebuild(as_json=as_json)
        return
    from millpond.backup.restore import restore as restore_backup
    from millpond.cli import output
    from millpond.settings import settings

    with _show_progress(as_json) as report:
        done = restore_backup(path.expanduser().absolute(), report)
    record = done.record
    tables = len({table.name for table in record.tables if table.ref == "main"})
    if as_json:
        output.print_json(
            {
                "home": str(settings().home),
                "created_at": record.created_at,
                "tables": tables,
                "rows": record.lake_rows,
                "runs_ended": done.runs_ended,
            }
        )
        return
    typer.echo(
        f"restored {pluralize(tables, 'table')} as of {record.created_at:%Y-%m-%d %H:%M} UTC"
        f" to {settings().home}"
    )
    if done.runs_ended:
        typer.echo(f"recorded as canceled: {pluralize(done.runs_ended, 'run')} in progress")
    typer.echo("Next: millpond materialize '*', or millpond up")


def _rebuild(*, as_json: bool) -> None:
    from millpond.backup.rebuild import LOST, rebuild_catalog
    from millpond.backup.rebuilt_record import publish_marts, record_tables
    from millpond.cli import output

    with _show_progress(as_json) as report:
        found = rebuild_catalog(report)
        from millpond.definitions import defs

        recorded = record_tables(defs, found.pointers, report)
        published = publish_marts(defs, found.pointers)
    if as_json:
        output.print_json(
            {
                "tables": sorted(found.pointers),
                "views": sorted(found.views),
                "missing": found.missing,
                "guessed": found.guessed,
                "materializations": recorded,
                "published": published.success if published else None,
                "lost": LOST,
            }
        )
    else:
        views = f" and {pluralize(len(found.views), 'view')}" if found.views else ""
        typer.echo(f"rebuilt the catalog with {pluralize(len(found.pointers), 'table')}{views}")
        if found.missing:
            output.print_text(f"not there any more, as their files are missing: {', '.join(found.missing)}")
        typer.echo(f"Dagster's record: {pluralize(recorded, 'materialization')} of the days that are there")
        if found.guessed:
            output.print_text(
                f"newest version taken, which may be that of a branch: {', '.join(found.guessed)}"
            )
        if published:
            typer.echo("marts: published" if published.success else "marts: not published; see the run")
        output.print_text(f"lost: {', '.join(LOST)}")
        typer.echo("Next: millpond backfill '*' --stale --dry-run")
    if published and not published.success:
        raise typer.Exit(1)


@contextmanager
def _show_progress(as_json: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line of progress, on standard error; nothing for machines."""
    yield (lambda _: None) if as_json else (lambda line: typer.echo(line, err=True))


def _print_comparison(created_at: Any, rows: list[tuple[Any, ...]], differences: list[str]) -> None:
    from millpond.cli import output

    words = {True: "equal", False: "differs", None: "not compared"}
    columns = ("table", "ref", "rows", "restored", "result")
    output.print_rows_as_table(columns, [(*row[:4], words[row[4]]) for row in rows])
    for line in differences:
        typer.echo(line)
    state = (
        "differs from what was backed up" if differences else "is complete and equal to what was backed up"
    )
    typer.echo(f"the backup of {created_at:%Y-%m-%d %H:%M} UTC {state}")
