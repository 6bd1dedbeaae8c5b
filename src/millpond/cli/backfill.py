"""`millpond backfill`: a plan over days, carried out in few runs, stopped and resumed anywhere."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from millpond.backfill.ledger import Backfill

_RUN = "run"


class _RunByDefault(TyperGroup):
    """What is not the name of a subcommand begins the arguments of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = [name for name in self.commands if name != _RUN]
        near = difflib.get_close_matches(args[0], known, n=1, cutoff=0.7) if args else []
        if near and args[0] not in known and set(args[1:]) <= {"--json"}:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().parse_args(ctx, args if args[:1] and args[0] in known else [_RUN, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == _RUN else name), command, rest


app = typer.Typer(cls=_RunByDefault, help="Make many partitions: planned, resumable, in few runs.")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")]


@app.command(_RUN)
def run(
    selection: Annotated[
        str | None,
        typer.Argument(help='Assets as Dagster selects them: name, "name*", "+name", group:gold, "*".'),
    ] = None,
    start_date: Annotated[str | None, typer.Option("--start-date", help="First day, YYYY-MM-DD.")] = None,
    end_date: Annotated[
        str | None, typer.Option("--end-date", help="Last day, included; default: the latest complete.")
    ] = None,
    partitions: Annotated[str | None, typer.Option("--partitions", help="Days, separated by commas.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch to read and write; default: MILLPOND_REF.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Run what is fresh too; with --resume: although something changed."),
    ] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Run only what is out of date.")] = False,
    downstream: Annotated[
        bool, typer.Option("--downstream/--only", help="Also what reads the selected assets.")
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Load days also with far fewer rows than are loaded; not those beyond the source's reach.",
        ),
    ] = False,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=16, help="Worker processes; 1: this one.")
    ] = 1,
    chunk_days: Annotated[
        int | None, typer.Option("--chunk-days", min=1, help="Most days of one run; default: as fits.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=1, help="Stop after so many failed partitions.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the backfill of that id; default: the newest unfinished."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the partitions of assets over many days: what is missing, failed or out of date, and nothing else.

    The plan is printed first. Ctrl-C, a crash or a power cut lose at most the run in flight; --resume goes
    on with exactly what is left. A day that fails is told with its reason, the others land. Exit codes: 0 all
    that could be done is done, 1 some failed or it was stopped, 2 refused.

    \b
    millpond backfill "*" --start-date 2026-08-01 --end-date 2026-10-31
    millpond backfill dlt_glucose_entries --partitions 2026-10-01,2026-10-05 --downstream
    millpond backfill "*" --start-date 2026-01-01 --dry-run     what would be done, and why
    millpond backfill 'key:"dlt_glucose_entries" or key:"dim_date"' --start-date 2026-10-01
    millpond backfill "fct_glucose_readings*" --stale           what a change of code made out of date
    millpond backfill --resume                                  go on with the newest unfinished one
    millpond backfill --resume 1122_4f09ac --force              … although its code has changed
    millpond backfill "*" --partitions 2026-10-01 --accept-shrink  a day that the source has less of now
    millpond backfill list                                      every backfill
    millpond backfill show ID                                   what came of each partition
    millpond backfill cancel ID                                 stop one from another terminal
    """
    from millpond.cli.interrupts import exit_on_interrupt
    from millpond.cli.reload import print_notice
    from millpond.cli.startup import AssetNames, build_companion

    hint = "nothing is running; `millpond backfill list` shows what there is to resume"
    if selection and not resume:
        AssetNames.now().refuse_unknown(selection)
    with exit_on_interrupt(hint), build_companion(needed=parallel == 1 and not dry_run):
        from millpond.cli import backfill_run as commands
        from millpond.cli.arguments import check_ref_and_days

        if not dry_run:
            print_notice(ref)
        options = commands.Options(
            selection=selection,
            days=check_ref_and_days(ref, lambda: commands.days(start_date, end_date, partitions)),
            ref=ref,
            force=force,
            stale=stale,
            downstream=downstream,
            accept_shrink=accept_shrink,
            parallel=parallel,
            chunk_days=chunk_days,
            max_failures=max_failures,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        raise typer.Exit(commands.resume(options) if resume else commands.begin(options))


Id = Annotated[str, typer.Argument(help="Id of the backfill.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every backfill, the newest first.

    Example: millpond backfill list
    """
    from millpond.backfill import ledger
    from millpond.cli import backfill_view

    backfill_view.print_list(ledger.list_backfills(), as_json=as_json)


@app.command()
def show(backfill: Id, as_json: AsJson = False) -> None:
    """Show what came of a backfill, asset by asset, and why partitions are not done.

    Example: millpond backfill show 1122_4f09ac
    """
    from millpond.backfill import ledger
    from millpond.backfill.session import get_backfill
    from millpond.cli import backfill_view

    backfill_view.print_one(get_backfill(backfill), ledger.list_partitions(backfill), as_json=as_json)


@app.command()
def cancel(backfill: Id, as_json: AsJson = False) -> None:
    """Stop a backfill that runs in another terminal, at a safe point; what it has made stays.

    Example: millpond backfill cancel 1122_4f09ac
    """
    from millpond.backfill.session import cancel as stop
    from millpond.cli import output

    stopped: Backfill = stop(backfill)
    if as_json:
        output.as_json({"id": backfill, "state": stopped.state})
        return
    typer.echo(f"backfill {backfill} is {stopped.state}; millpond backfill --resume {backfill} would go on")
