"""The `millpond` command: its subcommands, and how it prints errors."""

from __future__ import annotations

import codecs
import shlex
import sys
from typing import Annotated, Any, NoReturn

import typer

from millpond import redaction
from millpond.cli import (
    alerts,
    automation,
    backfill,
    backup,
    bi,
    branch,
    catalog,
    config,
    dashboard,
    demo,
    docs,
    doctor,
    history,
    maintain,
    materialize,
    mcp,
    project,
    provision,
    quarantine,
    reconcile,
    reload,
    report,
    sources,
    status,
    tables,
    up,
    wipe,
)
from millpond.cli.chosen import reduce_to
from millpond.cli.interrupts import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOTHING_BEGUN,
    REFUSED,
    STANDS,
    exit_interrupted,
    format_error,
    is_interrupt,
    print_interrupted,
    wants_json,
)
from millpond.cli.project_commands import Commands
from millpond.errors import (
    AlreadyUp,
    BackfillChanged,
    BackfillNotFound,
    BackfillOverlap,
    ConfigError,
    DayLeftOut,
    MillpondError,
    NotUp,
    PartitionKeyError,
    PortTaken,
    QueryRefused,
    RefExists,
    RefNotFound,
    RefRefused,
)
from millpond.runtime.ending import OutputLost, end_with_reader, take_lost_output

_REFUSALS = (
    *(ConfigError, PartitionKeyError, PortTaken, AlreadyUp),
    *(BackfillOverlap, BackfillNotFound, BackfillChanged, NotUp),
    *(RefNotFound, RefExists, RefRefused, QueryRefused, DayLeftOut),
)

app = typer.Typer(
    name="millpond",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A lakehouse in a box: loads, checks and publishes the data of each day, and can repeat any day.\n\n"
    "New here? Try [bold]millpond demo[/bold], then "
    '[bold]millpond sql "select * from marts.mrt_glucose_overview"[/bold].',
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or refused, 130 interrupted by Ctrl-C. "
    "With --json an error is a JSON object on standard error.",
)
app.command("init")(project.init)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("status")(status.status)
app.command("down")(up.down)
app.command("doctor")(doctor.doctor)
app.command("reconcile")(reconcile.reconcile)
app.command("reload")(reload.reload)
app.command("materialize")(materialize.materialize)
app.command("sql")(tables.sql)
app.command("history")(history.history)
app.command("undo")(history.undo)
app.command("wipe")(wipe.wipe)
app.command("retire")(tables.retire)
app.command("dashboard")(dashboard.dashboard)
app.command("report")(report.report)
app.command("docs")(docs.docs)
app.command("mcp")(mcp.mcp)
app.command("maintain")(maintain.maintain)
app.command("restore")(backup.restore)
app.command("env")(config.env)
app.command("upgrade")(project.upgrade)
app.command("provision")(provision.provision)
app.add_typer(backfill.app, name="backfill")
app.add_typer(backup.app, name="backup")
app.add_typer(branch.app, name="branch")
app.add_typer(catalog.app, name="catalog")
app.add_typer(tables.app, name="tables")
app.add_typer(alerts.app, name="alerts")
app.add_typer(automation.app, name="automation")
app.add_typer(bi.app, name="bi")
app.add_typer(sources.app, name="sources")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"millpond {metadata.version('millpond')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """A lakehouse in a box."""


def main() -> NoReturn:
    """Run the command line; errors become a message on stderr, JSON with `--json`, and an exit code."""
    redaction.install()
    end_with_reader()
    code = _run()
    if lost := take_lost_output():
        _print_error(
            "OutputLost",
            f"the output could not be written: {lost.strerror or lost}",
            next_step="the same command again, with its output to where there is room",
            code=FAILED,
        )
        code = code or FAILED
    sys.exit(code)


def _run() -> int:
    """Run the command line, print its error; returns the exit code."""
    try:
        code: int = reduce_to(app, sys.argv[1:])(standalone_mode=False) or DONE
        if code == INTERRUPTED:  # Typer's own way to say it
            raise KeyboardInterrupt
        return code
    except MillpondError as error:
        code = REFUSED if isinstance(error, _REFUSALS) else FAILED
        _print_error(type(error).__name__, error.what, error.unharmed, error.next_step, code=code)
        return code
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        return FAILED
    except KeyboardInterrupt:
        print_interrupted()
        exit_interrupted()
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of click
            if wants_json():
                _print_usage_error(error)
            else:
                error.show()
            return REFUSED
        if is_interrupt(error):
            print_interrupted()
            exit_interrupted()
        if isinstance(error, OutputLost) or isinstance(error.__context__, OutputLost):
            return FAILED
        if not _print_unforeseen(error):
            raise
        return FAILED


def _print_unforeseen(error: Exception) -> bool:
    """Print an error that is none of ours, unless its traceback is wanted; returns whether it was printed."""
    if isinstance(error, UnicodeEncodeError) and _is_of_stdout(error):
        _print_error(
            "OutputLost",
            f"the output has characters that {sys.stdout.encoding}, its encoding, lacks",
            next_step="the same command again with PYTHONIOENCODING=utf-8 in its environment",
            code=FAILED,
        )
        return True
    if not wants_json():
        return False
    typed = shlex.join(["millpond", *(word for word in sys.argv[1:] if word != "--json")])
    _print_error(
        type(error).__name__,
        str(error) or type(error).__name__,
        next_step=f"`{typed}` shows the traceback",
        code=FAILED,
    )
    return True


def _is_of_stdout(error: UnicodeEncodeError) -> bool:
    return codecs.lookup(error.encoding) == codecs.lookup(sys.stdout.encoding)


def _print_usage_error(error: Any) -> None:
    command = error.ctx.command_path if getattr(error, "ctx", None) else "millpond"
    _print_error(
        "UsageError",
        error.format_message(),
        next_step=f"`{command} --help` shows the usage",
        code=REFUSED,
    )


def _print_error(kind: str, what: str, unharmed: str = "", next_step: str = "", *, code: int) -> None:
    from millpond.cli.output import show_controls, wrap_error

    unharmed = unharmed or (NOTHING_BEGUN if code == REFUSED else STANDS)
    what, unharmed, next_step = (
        show_controls(redaction.redacted(text)) for text in (what, unharmed, next_step)
    )
    if wants_json():
        print(format_error(kind, what, unharmed, next_step, code), file=sys.stderr)
        return
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    lines = [f"  {label}: {text}" for label, text in (("Unharmed", unharmed), ("Next", next_step)) if text]
    if sys.stderr.isatty():
        what, *lines = (wrap_error(text, console.width) for text in (what, *lines))
    console.print(what, style="bold red", markup=False)
    for line in lines:
        console.print(line, markup=False)


if __name__ == "__main__":
    main()
