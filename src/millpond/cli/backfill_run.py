"""Starting and resuming a backfill from the command line: plan, question, display, summary, exit code."""

from __future__ import annotations

import datetime as dt
import sys
from contextlib import ExitStack
from dataclasses import dataclass

import dagster as dg
import typer

from millpond.backfill import ledger
from millpond.backfill.engine import Engine
from millpond.backfill.ledger import Backfill, BackfillState
from millpond.backfill.pieces import Key
from millpond.backfill.plan import Plan
from millpond.backfill.planner import make_plan
from millpond.backfill.session import get_backfill, run_backfill
from millpond.cli import output
from millpond.cli.arguments import parse_days, require_ref
from millpond.cli.backfill_display import Display, Tally
from millpond.cli.backfill_plan_view import plan_as_json, print_plan
from millpond.cli.backfill_view import as_document, print_summary
from millpond.cli.interrupts import DONE, FAILED, REFUSED, exit_interrupted
from millpond.cli.startup import dismiss_unneeded_companion, load_definitions
from millpond.errors import BackfillChanged, BackfillNotFound, ConfigError
from millpond.instance.home import open_instance
from millpond.lake.home_zone import refuse_other_zone
from millpond.naming import pluralize
from millpond.partitions import Window


@dataclass(frozen=True)
class Options:
    """What was typed; `days` is None where no day was named."""

    selection: str | None
    days: list[dt.date] | None
    ref: str | None
    force: bool
    stale: bool
    downstream: bool
    accept_shrink: bool
    parallel: int
    chunk_days: int | None
    max_failures: int | None
    dry_run: bool
    yes: bool
    as_json: bool


def check_days(start: str | None, end: str | None, partitions: str | None) -> list[dt.date] | None:
    """Return the days that options name, each checked; None if they name none. Raises PartitionKeyError."""
    if partitions and (start or end):
        raise ConfigError(
            "--partitions cannot be combined with --start-date or --end-date", next_step="give one of them"
        )
    return parse_days(start, end, partitions)


def begin(options: Options) -> int:
    """Plan a new backfill, print the plan, run it; returns the exit code."""
    if not options.selection:
        raise ConfigError(
            "a backfill needs a selection",
            next_step='name assets, for example "*"; see millpond backfill --help',
        )
    if options.days is None and not options.stale:
        raise ConfigError(
            "a backfill needs days",
            next_step="give --start-date and --end-date, or --partitions; or --stale alone",
        )
    ref = require_ref(options.ref)
    refuse_other_zone()
    with open_instance() as dagster:
        plan = _plan(options, ref, dagster)
        if not options.as_json:
            print_plan(plan)
        if options.dry_run or not plan.chunks:
            if options.as_json:
                output.print_json(plan_as_json(plan))
            is_refused = not options.dry_run and {*plan.items} == {*plan.wiped()} != set()
            return REFUSED if is_refused else DONE
        dismiss_unneeded_companion({asset for chunk in plan.chunks for asset in chunk.assets + chunk.whole})
        partitions = pluralize(sum(1 for _ in plan.todo()), "partition")
        _ask(options, f"Run {partitions} in {pluralize(len(plan.chunks), 'run')}?")
        chosen_options = {"force": options.force, "stale": options.stale, "downstream": options.downstream}
        chosen_options["accept_shrink"] = options.accept_shrink
        backfill = ledger.create(plan, chosen_options)
        keys = [(item.asset, item.partition) for item in plan.todo()]
        return _run(options, backfill, keys, dagster, plan.estimate.seconds if plan.estimate else None)


def resume(options: Options) -> int:
    """Resume an unfinished backfill with exactly what is left; returns the exit code."""
    chosen = get_backfill(options.selection) if options.selection else ledger.find_newest_unfinished()
    if chosen is None:
        raise BackfillNotFound(
            "there is no unfinished backfill", next_step="`millpond backfill list` shows all backfills"
        )
    refuse_other_zone()
    with open_instance() as dagster:
        if not chosen.alive:
            Engine(chosen, dagster, lambda _: None, load_definitions()).recover()
        if not options.force:
            _refuse_changes(chosen, options, dagster)
        within = Window.of_days(options.days[0], options.days[-1]) if options.days else None
        keys = ledger.list_remaining(chosen.id, within)
        if not options.as_json:
            typer.echo(
                f"backfill {chosen.id} of {chosen.selection}: {pluralize(len(keys), 'partition')} left"
            )
        if not keys and not chosen.alive and not options.dry_run:
            ledger.end_if_complete(chosen.id)
            _print_result(get_backfill(chosen.id), options)
        if options.dry_run or not keys:
            return DONE
        dismiss_unneeded_companion({asset for asset, _ in keys})
        _ask(options, "Continue?")
        ledger.take_over(chosen, keys)
        if options.accept_shrink:
            ledger.accept_shrink(chosen.id)
        return _run(options, chosen.id, keys, dagster, None)


def _run(
    options: Options, backfill: str, keys: list[Key], dagster: dg.DagsterInstance, expected: float | None
) -> int:
    def print_stopping() -> None:
        if not options.as_json:
            typer.echo(f"stopping: finished partitions stay; millpond backfill --resume {backfill} continues")

    display = Display(Tally(keys), expected, quiet=options.as_json)

    shown = ExitStack()

    def last_words(stopped: Backfill) -> None:
        shown.close()
        _print_result(stopped, options)

    with shown:
        shown.enter_context(display)
        if options.as_json:
            shown.enter_context(output.spare_stdout())
        ended = run_backfill(
            backfill,
            instance=dagster,
            tell=display.take,
            parallel=options.parallel,
            max_failures=options.max_failures,
            on_stop=print_stopping,
            last_words=last_words,
        )
    _print_result(ended, options)
    if ended.state in (BackfillState.INTERRUPTED, BackfillState.CANCELLED):
        exit_interrupted()
    return FAILED if ended.unfinished else DONE


def _plan(options: Options, ref: str, dagster: dg.DagsterInstance) -> Plan:
    return make_plan(
        options.selection or "",
        options.days,
        instance=dagster,
        definitions=load_definitions(),
        ref=ref,
        force=options.force,
        stale_only=options.stale,
        downstream=options.downstream,
        chunk_days=options.chunk_days,
        side_by_side=options.parallel > 1,
    )


def _refuse_changes(chosen: Backfill, options: Options, dagster: dg.DagsterInstance) -> None:
    """Raise BackfillChanged if the code or the days are not those of the backfill."""
    changed = []
    if options.days and chosen.window and options.days != chosen.window.days:
        changed.append(
            f"its days are {chosen.window}, not {Window.of_days(options.days[0], options.days[-1])}"
        )
    now = make_plan(
        chosen.selection,
        [],
        instance=dagster,
        definitions=load_definitions(),
        ref=chosen.ref,
        downstream=bool(chosen.options.get("downstream")),
    )
    if now.code != chosen.code:
        changed.append("the code of its assets has changed since")
    if changed:
        raise BackfillChanged(
            f"backfill {chosen.id} is not resumed: {'; '.join(changed)}",
            unharmed="what it has materialized; nothing was started",
            next_step="start a new one, which leaves out what is up to date; or resume it anyway:"
            f" millpond backfill --resume {chosen.id} --force",
        )


def _ask(options: Options, question: str) -> None:
    if not options.yes and not options.as_json and sys.stdin.isatty() and sys.stdout.isatty():
        typer.confirm(question, default=True, abort=True)


def _print_result(backfill: Backfill, options: Options) -> None:
    parts = ledger.list_partitions(backfill.id)
    if options.as_json:
        output.print_json(as_document(backfill, parts))
    else:
        print_summary(output.make_console(), backfill, parts)
    sys.stdout.flush()
