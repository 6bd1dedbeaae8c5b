"""`millpond reload`: what automation runs becomes the project as it is; notices of what is not yet in it."""

from __future__ import annotations

from typing import Annotated

import typer


def reload(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """Have automation run the project as it is now: sources/, dbt/, waits.yaml and Millpond's own code.

    `millpond up` loads them when it starts; what you edit later waits for this command (or "Reload" in
    Dagster's pages). A project that does not load is refused, and automation goes on with what it has.
    Runs that have begun end with what they began with.

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
    from millpond.settings import settings

    configured, home = settings(), locate(settings())
    pages = find_process(home, WEBSERVER)
    if find_process(home, SUPERVISOR) is None or pages is None:
        raise NotUp(
            "`millpond up` does not run, so there is nothing to reload",
            unharmed="everything",
            next_step="`millpond up` loads the project as it is when it starts",
        )
    before = deployment.changes(configured)
    deployed = deployment.deploy(configured, checked=True)
    reload_location(pages.port, find_location_name(configured))
    taken = [*before.files, *before.python] if before else []
    if as_json:
        output.as_json({"deployed": deployed.state, "at": deployed.at, "changed": taken})
    else:
        what = f", with changes in {', '.join(taken)}" if taken else "; nothing had changed"
        typer.echo(f"reloaded{what}")


def print_notice(ref: str | None = None) -> None:
    """Say on stderr, while `millpond up` runs, which files automation does not use yet as they are now.

    With --json nothing is said: standard error is for an error alone, and `status --json` names the files.
    `ref` is what a command is about to write, None for that of the settings; a branch is no production.
    """
    from millpond.cli.interrupts import as_json
    from millpond.naming import MAIN_REF
    from millpond.runtime import deployment
    from millpond.runtime.down import SUPERVISOR
    from millpond.runtime.home import locate
    from millpond.runtime.processes import find_process
    from millpond.settings import settings

    on_branch = (ref or settings().ref) != MAIN_REF
    if on_branch or as_json() or find_process(locate(settings()), SUPERVISOR) is None:
        return
    if (found := deployment.changes(settings())) and found.words:
        typer.echo(f"Not yet what automation runs, {found.words}. `millpond reload` deploys it.", err=True)
