"""`millpond maintain`: what the nightly job does, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.maintenance.run import Done
    from millpond.maintenance.task import Result, Task


def maintain(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK]...", help="Names of tasks; without one, all. --list shows them."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Age of orphan files such as 3d or 36h, at least a day; default: "
            "MILLPOND_ORPHAN_RETENTION_DAYS.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the tasks, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Run maintenance: what expired goes, small files become few, files that nothing leads to are removed.

    What a ref, a branch, a pin or a running query can still show, and what Dagster knows of assets, is not
    touched. Automation does the same at night. Exits with 1 if a task failed; the others are done then.

    Examples: millpond maintain --dry-run
              millpond maintain remove_orphan_files --older-than 3d
    """
    from millpond.cli import output
    from millpond.maintenance.run import choose_tasks, run_tasks
    from millpond.runtime.databases import refuse_other_version

    chosen = choose_tasks(tasks or ())
    if listed:
        rows = [(task.name, task.description) for task in chosen]
        (output.print_rows_as_json if as_json else output.print_rows_as_table)(("task", "description"), rows)
        return
    refuse_other_version()
    done = []
    for each in run_tasks(_with_age(chosen, older_than), dry_run=dry_run):
        done.append(each)
        if not as_json:
            _print(each)
    size = sum(each.result.bytes for each in done)
    if as_json:
        output.print_json({"dry_run": dry_run, "bytes": size, "tasks": [_describe(each) for each in done]})
    else:
        typer.echo(f"{'would free' if dry_run else 'freed'}: {_format_bytes(size)}")
    if any(each.error or each.result.problems for each in done):
        raise typer.Exit(1)


def _with_age(tasks: list[Task], older_than: str | None) -> list[Task]:
    """Return the tasks, that of orphan files with another age if one is given."""
    from dataclasses import replace
    from functools import partial

    from millpond.cli.arguments import parse_span
    from millpond.maintenance.tasks import remove_orphan_files

    if older_than is None:
        return tasks
    aged = partial(remove_orphan_files, older_than=parse_span(older_than))
    return [replace(task, run=aged) if task.run is remove_orphan_files else task for task in tasks]


def _describe(done: Done) -> dict[str, object]:
    error = {"what": done.error.what, "next_step": done.error.next_step} if done.error else None
    return {
        "name": done.task.name,
        "description": done.task.description,
        **done.result.describe(),
        "error": error,
    }


def _print(done: Done) -> None:
    from millpond.cli import output

    result = done.result
    if done.error:
        said, width = f"✗ {done.task.name}: {done.error}", output.get_terminal_width()
        typer.echo(output.wrap_error(said, width) if width else said)
        return
    typer.echo(f"{'✗' if result.problems else '✓'} {done.task.name}: {_summarize(result)}")
    for problem in result.problems:
        output.print_text(f"  {problem}")
    if result.note:
        output.print_text(f"  {result.note}")
    if result.lines:
        kinds = list(result.counts)
        rows = [
            [line.name, *(line.counts.get(kind, 0) for kind in kinds), line.bytes] for line in result.lines
        ]
        output.print_rows_as_table(["name", *kinds, "bytes"], rows)


def _summarize(result: Result) -> str:
    parts = [f"{number:,} {kind.replace('_', ' ')}" for kind, number in result.counts.items()]
    freed = [_format_bytes(result.bytes)] if result.bytes else []
    return ", ".join(parts + freed) or "nothing to do"


def _format_bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
