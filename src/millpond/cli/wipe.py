"""`millpond wipe`: remove days from everything that Millpond holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from millpond.runs.wipe import Wiped, WipePlan


def wipe(
    selection: Annotated[
        str, typer.Argument(help='Assets as Dagster selects them: "dlt_glucose_entries*", group:silver.')
    ],
    partition: Annotated[
        str, typer.Option("--partition", "-p", help="A day, YYYY-MM-DD, or days A...B, both included.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Apply the change; without it, only show it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Remove days of assets from every layer, mart, quarantine and former version, for ever.

    Afterwards no file of the lake has their rows, and no record quotes them: versions of these tables that
    show them expire at once, and their files are deleted. Commits from before cannot be undone any more.
    Nothing loads the days again but `millpond materialize` with --accept-wiped. What the source holds, and
    backups, are yours to remove. It is refused while a branch, a reader or a run needs the rows; without
    --yes it names them. docs/retention.md has more.

    Examples: millpond wipe "dlt_glucose_entries*" --partition 2026-11-01
              millpond wipe "dlt_glucose_entries*" --partition 2026-11-01 --yes
    """
    from millpond.cli import output
    from millpond.cli.arguments import parse_window
    from millpond.cli.startup import AssetNames

    window = parse_window(partition)
    AssetNames.now().refuse_unknown(selection)
    from millpond.definitions import defs
    from millpond.runs.wipe import find_obstacles, plan_wipe
    from millpond.runs.wipe import wipe as wipe_days

    plan = plan_wipe(selection, window, defs)
    if not yes:
        obstacles = find_obstacles(plan)
        if as_json:
            output.print_json({"done": False, **_as_dict(plan), "refused_for": obstacles})
            return
        _print_plan(plan, "would remove")
        for each in obstacles:
            output.print_text(f"would be refused: {each.name} still needs the rows; {each.remedy}")
        output.print_text(
            "Nothing was changed. A wipe cannot be undone. Next: "
            + ("the above, then " if obstacles else "")
            + "repeat it with --yes"
        )
        return
    done = wipe_days(plan, defs)
    if as_json:
        output.print_json({"done": True, **_as_dict(plan), **_summarize(done)})
    else:
        _print_plan(plan, "removed")
        _print_done(done)
    if done.published is False or any(each.left for each in done.erased):
        raise typer.Exit(1)


def _print_plan(plan: WipePlan, verb: str) -> None:
    from millpond.cli import output

    output.print_text(f"{verb}: {plan.window} of {', '.join(plan.assets)}")
    output.print_rows_as_table(("table", "rows"), [(name, f"{rows:,}") for name, rows in plan.rows.items()])
    if plan.rebuilt:
        output.print_text(f"built again without them: {', '.join(plan.rebuilt)}")
    for name, why in plan.left.items():
        output.print_text(f"{name} is left as it is: {why}")
    if plan.stale:
        output.print_text(f"not selected, and made from the rows: {', '.join(plan.stale)}")


def _print_done(done: Wiped) -> None:
    from millpond.cli import output

    rows = [(each.table, each.versions, each.files, each.bytes) for each in done.erased if each.files]
    if rows:
        output.print_rows_as_table(("table", "versions expired", "files deleted", "bytes"), rows)
    if young := [each.table for each in done.erased if each.left]:
        output.print_text(f"files written meanwhile may have the rows: {', '.join(young)}; repeat the wipe")
    if done.published is not None:
        state = "published again" if done.published else "not published, and as before: repeat the wipe"
        output.print_text(f"{', '.join(done.marts)}: {state}")
    cleared = ", ".join(f"{number} {what}" for what, number in done.cleared.items() if number)
    output.print_text(f"cleared of records: {cleared or 'nothing'}")
    typer.echo(f"deleted of staging: {done.staging} folders and files")
    if done.plan.stale:
        typer.echo(f'Next: millpond wipe "{done.plan.stale[0]}*" --partition {done.plan.window}')
    else:
        typer.echo(f"Next: millpond backfill '{done.plan.selection}' --stale --dry-run")


def _as_dict(plan: WipePlan) -> dict[str, Any]:
    return {
        "partition": str(plan.window),
        "assets": plan.assets,
        "rows": plan.rows,
        "rebuilt": list(plan.rebuilt),
        "left": plan.left,
        "stale": plan.stale,
    }


def _summarize(done: Wiped) -> dict[str, Any]:
    return {
        "tables": done.erased,
        "cleared": done.cleared,
        "marts": done.marts,
        "published": done.published,
        "staging": done.staging,
    }
