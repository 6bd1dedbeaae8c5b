"""`millpond up` and `millpond down`: all parts in one terminal, or stopped."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer


def down(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """Stop all parts of this installation. Data stays; the next command starts the parts it needs.

    Example: millpond down
    """
    from millpond.cli import output
    from millpond.runtime.down import down as stop_all
    from millpond.settings import settings

    stopped = stop_all(settings())
    if as_json:
        output.print_json({"stopped": stopped})
        return
    for name in stopped:
        typer.echo(f"stopped {name}")
    if not stopped:
        typer.echo("nothing was running")


if TYPE_CHECKING:
    from millpond.runtime.part import Status, Tell

_DETACHED_SECONDS = 180.0


def up(
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return once all that others wait for is up; it keeps running."),
    ] = False,
) -> None:
    """Run every part and keep it running: Postgres, catalog, demo source, Dagster, alerts, dashboard.

    With the profile scale it runs only Dagster's parts: the servers are yours, and `millpond status` shows
    them. A part that ends is started again. Ctrl-C, or `millpond down` from anywhere, stops them all. Each
    part writes its log to <home>/logs. The dashboard starts last, and its packages are installed first where
    they are missing; nothing waits for it. Everything listens on this machine only. Automation runs the
    project as it is now; `millpond reload` deploys later edits. It does not start if MILLPOND_TIMEZONE is not
    the zone of the days that are loaded.

    Example: millpond up
    """
    if detach:
        _start_detached()
        return
    _name_sources_without_address()
    if sys.stdout.isatty():
        _run_in_terminal()
    else:
        _supervise(_print_line)


def _refuse_other_zone() -> None:
    """Raise ZoneChanged for a home with days in another time zone; a home without data passes."""
    from millpond.errors import ServerUnreachable
    from millpond.lake.home_zone import refuse_other_zone
    from millpond.runtime.home import locate
    from millpond.runtime.postmaster import data_folder
    from millpond.settings import settings

    configured = settings()
    if configured.scale or data_folder(locate(configured)).exists():
        with suppress(ServerUnreachable):  # the parts that need the server report it
            refuse_other_zone()


def _name_sources_without_address() -> None:
    from millpond.runtime.shared_parts import find_sources_without_address
    from millpond.settings import settings, variable

    for name in find_sources_without_address(settings()):
        typer.echo(
            f"{name} is not loaded: {variable('url', name)} is not set. Demo data: `millpond demo`.", err=True
        )


def _add_time(line: str) -> str:
    return f"{dt.datetime.now().astimezone():%H:%M:%S} {line}"


def _print_line(_: Sequence[Status], line: str) -> None:
    with suppress(OSError):  # parts run on where it cannot be written
        print(_add_time(line), flush=True)


def _supervise(tell: Tell) -> None:
    from millpond.runtime.supervisor import supervise
    from millpond.settings import settings

    supervise(settings(), tell, _refuse_other_zone)


def _run_in_terminal() -> None:
    from rich.console import Console
    from rich.live import Live

    from millpond.cli.status import build_table

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:

        def tell(statuses: Sequence[Status], line: str) -> None:
            live.console.print(_add_time(line), markup=False)
            live.update(build_table(statuses), refresh=True)

        console.print("Ctrl-C, or `millpond down` from anywhere, stops all parts.")
        _supervise(tell)


def _start_detached() -> None:
    """Start `millpond up` in its own session; return once it is up, or exit with its error."""
    from rich.console import Console

    from millpond.cli.status import build_table
    from millpond.runtime.home import layout
    from millpond.runtime.part import STARTING, read_last_statuses
    from millpond.settings import process_environment, settings, variable

    configured, home = settings(), layout(settings())
    here = {variable("project"): str(configured.project), variable("home"): str(configured.home)}
    errors = home.logs / "up.errors.log"
    with errors.open("w") as file:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "millpond.cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=process_environment(**here),
            start_new_session=True,
        )
    deadline = time.monotonic() + _DETACHED_SECONDS
    while True:
        if supervisor.poll() is not None:
            typer.echo(errors.read_text().strip(), err=True)
            raise typer.Exit(supervisor.returncode or 1)
        now = read_last_statuses(home, supervisor.pid)
        is_up = bool(now) and all(part.serves for part in now.values())
        if is_up or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    Console().print(build_table(list(now.values())))
    if left := [part.name for part in now.values() if is_up and part.state == STARTING]:
        typer.echo(f"Still starting, and nothing waits for it: {', '.join(left)}.")
    _name_sources_without_address()
    typer.echo("`millpond status` shows the parts, `millpond down` stops them.")
    if not is_up:
        raise typer.Exit(1)
