"""`millpond reload`: deploys the project to automation; and the notice of files that are not deployed yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.runtime.home import Home

_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.1


def reload(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """Have automation run the project as it is now: sources/, dbt/, waits.yaml and Millpond's own code.

    `millpond up` loads them when it starts; later edits wait for this command (or "Reload" in Dagster's
    pages). A project that does not load is refused, and automation continues with the previous one.
    Runs in progress finish with the code they started with. The next ones wait some seconds for run-server,
    which loads the code; in a terminal this command waits with them.

    Example: millpond reload
    """
    from millpond.cli import output
    from millpond.errors import NotUp
    from millpond.runtime import deployment
    from millpond.runtime.dagster_health import reload_location
    from millpond.runtime.down import SUPERVISOR
    from millpond.runtime.home import locate
    from millpond.runtime.processes import find_process
    from millpond.runtime.supervised_parts import WEBSERVER, find_location_name
    from millpond.runtime.warm_client import RUN_SERVER
    from millpond.settings import settings

    configured, home = settings(), locate(settings())
    pages = find_process(home, WEBSERVER)
    if find_process(home, SUPERVISOR) is None or pages is None:
        raise NotUp(
            "`millpond up` is not running, so there is nothing to reload",
            unharmed="everything",
            next_step="`millpond up` loads the project as it is when it starts",
        )
    before, forked_from = deployment.changes(configured), find_process(home, RUN_SERVER)
    deployed = deployment.deploy(configured, checked=True)
    reload_location(pages.port, find_location_name(configured))
    taken = [*before.files, *before.python] if before else []
    if as_json:
        output.print_json({"deployed": deployed.state, "at": deployed.at, "changed": taken})
    else:
        what = f", with changes in {', '.join(taken)}" if taken else "; nothing had changed"
        typer.echo(f"reloaded{what}")
        if forked_from:
            _await_fast_runs(home, forked_from.pid)


def _await_fast_runs(home: Home, before: int) -> None:
    """Say when runs start at once again: in a terminal after waiting for it, elsewhere what shows it."""
    import sys

    from millpond.cli import output
    from millpond.runtime.processes import find_process
    from millpond.runtime.warm_client import RUN_SERVER

    def is_up() -> bool:
        now = find_process(home, RUN_SERVER)
        return now is not None and now.ready and now.pid != before

    if sys.stdout.isatty():
        deadline = time.monotonic() + _WAIT_SECONDS
        with output.make_console().status(f"runs wait for {RUN_SERVER}, which loads the code"):
            while not is_up() and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
    if is_up():
        typer.echo("runs start at once again")
    else:
        typer.echo(f"runs wait for {RUN_SERVER}, which loads the code: `millpond status` shows when it is up")


def print_notice(ref: str | None = None) -> None:
    """Print on stderr, while `millpond up` runs, which edited files automation does not use yet.

    With --json nothing is printed: standard error is for errors only, and `status --json` lists the files.
    `ref` is what the command will write, by default that of the settings; branches get no notice.
    """
    from millpond.cli.interrupts import wants_json
    from millpond.naming import MAIN_REF
    from millpond.runtime import deployment
    from millpond.runtime.down import SUPERVISOR
    from millpond.runtime.home import locate
    from millpond.runtime.processes import find_process
    from millpond.settings import settings

    on_branch = (ref or settings().ref) != MAIN_REF
    if on_branch or wants_json() or find_process(locate(settings()), SUPERVISOR) is None:
        return
    if (found := deployment.changes(settings())) and found.words:
        typer.echo(
            f"Automation does not use this yet: {found.words}. `millpond reload` deploys it.", err=True
        )
