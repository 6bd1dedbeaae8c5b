"""`millpond backfill`: many days in few runs, planned first; it can be stopped and resumed at any point."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from millpond.backfill.ledger import Backfill

_RUN = "run"


class _RunByDefault(TyperGroup):
    """Arguments that do not begin with the name of a subcommand are those of `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = [name for name in self.commands if name != _RUN]
        near = difflib.get_close_matches(args[0], known, n=1, cutoff=0.7) if args else []
        if near and args[0] not in known and set(args[1:]) <= {"--json"}:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().parse_args(ctx, args if args[:1] and args[0] in known else [_RUN, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == _RUN else name), command, rest


app = typer.Typer(cls=_RunByDefault, help="Materialize many partitions in few runs, planned and resumable.")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")]


@app.command(_RUN)
def run(
    selection: Annotated[
        str | None,
        typer.Argument(help='Assets as Dagster selects them: name, "name*", "+name", group:gold, "*".'),
    ] = None,
    start_date: Annotated[str | None, typer.Option("--start-date", help="First day, YYYY-MM-DD.")] = None,
    end_date: Annotated[
        str | None, typer.Option("--end-date", help="Last day, included; default: the latest complete day.")
    ] = None,
    partitions: Annotated[str | None, typer.Option("--partitions", help="Days, separated by commas.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch to read and write; default: MILLPOND_REF.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also run fresh partitions; with --resume: although something changed."),
    ] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Run only stale partitions.")] = False,
    downstream: Annotated[
        bool, typer.Option("--downstream/--only", help="Include assets downstream.")
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Also load days that have far fewer rows now, unless the source no longer serves them.",
        ),
    ] = False,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=16, help="Worker processes; 1 is this process.")
    ] = 1,
    chunk_days: Annotated[
        int | None, typer.Option("--chunk-days", min=1, help="Days per run at most; default: as fits.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=1, help="Stop after so many failed partitions.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume the backfill with this id; default: the newest unfinished one."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Materialize assets over many days: only partitions that are missing, failed or stale.

    The plan is printed first. Ctrl-C, a crash or a power cut lose at most the current run; --resume continues
    with exactly what is left. A day that fails is reported with its reason, and does not stop the others.
    Days that were wiped are left out, and named with the plan; if nothing else was asked for, it is refused.
    Exit codes: 0 everything that could be done is done, 1 some failed or it was stopped, 2 refused.

    \b
    millpond backfill "*" --start-date 2026-08-01 --end-date 2026-10-31
    millpond backfill dlt_glucose_entries --partitions 2026-10-01,2026-10-05 --downstream
    millpond backfill "*" --start-date 2026-01-01 --dry-run     the plan, with reasons
    millpond backfill 'key:"dlt_glucose_entries" or key:"dim_date"' --start-date 2026-10-01
    millpond backfill "fct_glucose_readings*" --stale           what a code change made stale
    millpond backfill --resume                                  resume the newest unfinished one
    millpond backfill --resume 1122_4f09ac --force              … although its code has changed
    millpond backfill "*" --partitions 2026-10-01 --accept-shrink  a day that has fewer rows now
    millpond backfill list                                      every backfill
    millpond backfill show ID                                   the result of each partition
    millpond backfill cancel ID                                 stop one from another terminal
    """
    from millpond.cli.interrupts import exit_on_interrupt
    from millpond.cli.reload import print_notice
    from millpond.cli.startup import AssetNames, start_companion

    hint = "nothing is running; `millpond backfill list` shows unfinished backfills"
    if selection and not resume:
        AssetNames.now().refuse_unknown(selection)
    with exit_on_interrupt(hint), start_companion(needed=parallel == 1 and not dry_run):
        from millpond.cli import backfill_run as commands
        from millpond.cli.arguments import check_ref_and_days

        if not dry_run:
            print_notice(ref)
        options = commands.Options(
            selection=selection,
            days=check_ref_and_days(ref, lambda: commands.check_days(start_date, end_date, partitions)),
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
    """Show the results of a backfill by asset, and why partitions are not done.

    Example: millpond backfill show 1122_4f09ac
    """
    from millpond.backfill import ledger
    from millpond.backfill.session import get_backfill
    from millpond.cli import backfill_view

    backfill_view.print_one(get_backfill(backfill), ledger.list_partitions(backfill), as_json=as_json)


@app.command()
def cancel(backfill: Id, as_json: AsJson = False) -> None:
    """Stop a backfill that runs in another terminal, at a safe point; finished partitions stay.

    Example: millpond backfill cancel 1122_4f09ac
    """
    from millpond.backfill.session import cancel as stop
    from millpond.cli import output

    stopped: Backfill = stop(backfill)
    if as_json:
        output.print_json({"id": backfill, "state": stopped.state})
        return
    typer.echo(f"backfill {backfill} is {stopped.state}; millpond backfill --resume {backfill} continues it")
