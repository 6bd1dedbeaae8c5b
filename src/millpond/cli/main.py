"""The `millpond` command: its list of commands, and how errors leave it."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from millpond.cli import (
    alerts,
    automation,
    backfill,
    branch,
    config,
    demo,
    env,
    maintain,
    materialize,
    parts,
    provision,
    sources,
    sql,
    status,
    tables,
    up,
)
from millpond.cli.leaving import leave
from millpond.errors import (
    AlreadyUp,
    BackfillChanged,
    BackfillNotFound,
    BackfillOverlap,
    ConfigError,
    MillpondError,
    PartitionKeyError,
    PortTaken,
)

DONE, FAILED, REFUSED = 0, 1, 2
_REFUSALS = (
    *(ConfigError, PartitionKeyError, PortTaken, AlreadyUp),
    *(BackfillOverlap, BackfillNotFound, BackfillChanged),
)

app = typer.Typer(
    name="millpond",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A lakehouse in a box: every day's data arrives, is right, and can be done again.\n\n"
    "New here? Try [bold]millpond demo[/bold], then "
    '[bold]millpond sql "select * from marts.mrt_glucose_overview"[/bold].',
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or refused.",
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("status")(status.status)
app.command("down")(parts.down)
app.command("materialize")(materialize.materialize)
app.command("sql")(sql.sql)
app.command("tables")(tables.tables)
app.command("maintain")(maintain.maintain)
app.command("env")(env.env)
app.command("provision")(provision.provision)
app.add_typer(backfill.app, name="backfill")
app.add_typer(branch.app, name="branch")
app.add_typer(alerts.app, name="alerts")
app.add_typer(automation.app, name="automation")
app.add_typer(sources.app, name="sources")
app.add_typer(config.app, name="config")


def main() -> NoReturn:
    """Run the command line; typed errors become a message on stderr and an exit code."""
    try:
        sys.exit(app(standalone_mode=False) or DONE)
    except MillpondError as error:
        _tell(error)
        sys.exit(REFUSED if isinstance(error, _REFUSALS) else FAILED)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.Abort:
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        leave()
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of click
            error.show()
            sys.exit(REFUSED)
        raise


def _tell(error: MillpondError) -> None:
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(error.what, style="bold red", markup=False)
    for label, text in (("Unharmed", error.unharmed), ("Next", error.next_step)):
        if text:
            console.print(f"  {label}: {text}", markup=False)


if __name__ == "__main__":
    main()
