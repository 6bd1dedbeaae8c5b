"""`millpond init` and `millpond upgrade`: create a project, and upgrade one to the installed release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer


def init(
    name: Annotated[
        Path,
        typer.Argument(metavar="NAME", help="Folder to create; its name is also that of the Python package."),
    ],
    template: Annotated[
        str,
        typer.Option("--template", help="glucose: an example source with models; or empty."),
    ] = "glucose",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Create a project: sources/, dbt/, Python definitions, tests, settings, containers and CI.

    The folder must be new or empty. Everything in it is yours to change; the platform itself stays in the
    installed package, and `millpond upgrade` applies a later release's changes to these files.

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
        output.print_json({"project": str(folder), "template": template})
        return
    typer.echo(f"created {folder}\n")
    typer.echo("Next:")
    typer.echo(f"  cd {shlex.quote(str(name))}")
    if template == "glucose":
        typer.echo("  millpond demo                     # 30 days of demo data through every layer")
    typer.echo(f"  millpond materialize my_report    # an asset of your own: {folder.name}/definitions.py")
    typer.echo("  millpond up                       # Dagster's pages, its daemon, every embedded part")


if TYPE_CHECKING:
    from millpond.cli.upgrade_home import Change
    from millpond.project.upgrade import FileChange


def upgrade(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            "--dry-run",
            help="Only show the differences; exit with 1 if there is something to upgrade.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Upgrade this home and this project to the installed Millpond.

    Run it after `pip install --upgrade millpond`. The home: its state in Postgres, and Dagster's storage;
    data in the lake and the marts is not touched. The project: files that `millpond init` wrote and the
    release changed; your own edits stay. May be repeated; after an interruption it continues. Refused while
    runs are in progress.

    Example: millpond upgrade --check
    """
    from importlib import metadata

    from millpond.cli import upgrade_home
    from millpond.project.upgrade import project_upgrade
    from millpond.settings import settings

    project = project_upgrade(settings().project)
    home = upgrade_home.find_home_changes() if upgrade_home.home_exists() else []
    if not check:
        if upgrade_home.home_exists():
            upgrade_home.refuse_while_working(is_changed=bool(home))
            upgrade_home.migrate_home()
        if project:
            project.apply()
    files = project.changes if project else ()
    if as_json:
        _print_json(metadata.version("millpond"), home, files, check=check)
    else:
        _print_changes(metadata.version("millpond"), home, files, check=check)
    if check and (home or files):
        raise typer.Exit(1)


def _print_changes(release: str, home: Sequence[Change], files: Sequence[FileChange], *, check: bool) -> None:
    from millpond.cli import output

    if not home and not files:
        typer.echo(f"nothing to upgrade: home and project are up to date with Millpond {release}")
        return
    rows = [(each.part, each.change, _describe_state(check=check)) for each in home]
    rows += [(each.path, each.words, _describe_state(each, check=check)) for each in files]
    output.print_rows_as_table(("part", "change", "state"), rows)
    if check:
        for each in files:
            if each.diff:
                typer.echo(f"\n{each.diff}")
        return
    if files:
        typer.echo(
            "Review the project's files (`git diff`); while `up` runs, `millpond reload` deploys them."
        )
    for each in files:
        if each.is_conflict:
            typer.echo(f"{each.path}: copy what you want from {each.target}, then delete that file.")


def _print_json(release: str, home: Sequence[Change], files: Sequence[FileChange], *, check: bool) -> None:
    from millpond.cli import output

    changes = [
        {"part": each.part, "change": each.change, "state": _describe_state(check=check)} for each in home
    ]
    changes += [
        {
            "part": each.path,
            "change": each.words,
            "state": _describe_state(each, check=check),
            "diff": each.diff,
        }
        for each in files
    ]
    output.print_json({"millpond": release, "changes": changes})


def _describe_state(change: FileChange | None = None, *, check: bool) -> str:
    if change and (change.is_conflict or not change.target):
        return "by hand" if change.is_conflict else "kept"
    return "to do" if check else "done"
