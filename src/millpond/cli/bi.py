"""`millpond bi`: Superset with the project's dashboards, and the check of these against the marts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from millpond.naming import pluralize

if TYPE_CHECKING:
    from millpond.bi.bundle import Bundle
    from millpond.bi.check import Problem
    from millpond.bi.columns import Use
    from millpond.runtime.processes import Process
    from millpond.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Dashboards on the marts: Superset, and the project's dashboards as files in bi/.\n\n"
    "Superset runs on this machine only, in an environment of its own, and reads the marts with a role that "
    "cannot write. docs/bi.md has more.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def up(as_json: AsJson = False) -> None:
    """Install Superset if it is missing, import the dashboards of bi/, and start it.

    It then is a part of this installation: `millpond up` keeps it running, `millpond status` shows it, and
    `millpond down` stops it. The first time takes some minutes: its packages are 650 MB. Dashboards are
    imported when their files differ from the last import, over what was changed in Superset meanwhile.

    Example: millpond bi up
    """
    from rich.console import Console

    from millpond.runtime.superset import ENVIRONMENT, enable, ensure_superset

    configured = _require_embedded()
    _read_bundle(configured)
    console = Console(highlight=False, stderr=True, quiet=as_json)
    ENVIRONMENT.ensure(console.print)
    enable(configured, True)
    with console.status("starting Superset; the first time, it prepares its database for a minute"):
        process = ensure_superset(configured)
    _import_if_changed(configured, console.print)
    _print_status(configured, process, as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop Superset, also for `millpond up`. Its dashboards and users stay.

    Example: millpond bi down
    """
    from millpond.cli import output
    from millpond.runtime.home import layout
    from millpond.runtime.processes import find_process, stop
    from millpond.runtime.superset import PROCESS, enable

    configured = _require_embedded()
    home = layout(configured)
    enable(configured, False)
    if process := find_process(home, PROCESS):
        stop(home, process)
    if as_json:
        output.print_json({"stopped": process is not None})
    else:
        typer.echo(f"stopped superset (process {process.pid})" if process else "superset was not running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show where Superset runs, who may sign in, and whether it has the dashboards of bi/.

    Example: millpond bi status
    """
    from millpond.runtime.home import layout
    from millpond.runtime.processes import find_process
    from millpond.runtime.superset import PROCESS

    configured = _require_embedded()
    _print_status(configured, find_process(layout(configured), PROCESS), as_json=as_json)


@app.command("import")
def import_(as_json: AsJson = False) -> None:
    """Import the dashboards of bi/ into Superset, over what was changed there since the last export.

    Dashboards that the files do not name stay as they are.

    Example: millpond bi import
    """
    from millpond.bi.installation import import_bundle
    from millpond.cli import output

    configured = _require_embedded()
    bundle = _read_bundle(configured)
    import_bundle(configured)
    titles = sorted(each["dashboard_title"] for each in bundle.of("dashboards").values())
    if as_json:
        output.print_json({"dashboards": titles, "charts": len(bundle.of("charts"))})
    else:
        imported = pluralize(len(bundle.of("charts")), "chart")
        typer.echo(f"imported {imported} of {', '.join(titles) or 'no dashboard'}")


@app.command()
def export(as_json: AsJson = False) -> None:
    """Write all dashboards of Superset to bi/, with their charts and datasets.

    `git diff` then shows what was edited: ids, times and passwords are left out. Files of dashboards and
    charts that Superset no longer has are removed.

    Example: millpond bi export
    """
    import tempfile
    from pathlib import Path

    from millpond.bi.bundle import FOLDER, write_bundle
    from millpond.bi.installation import record_import, run_command
    from millpond.cli import output

    configured = _require_embedded()
    with tempfile.TemporaryDirectory(prefix="millpond-bi-") as folder:
        run_command(configured, "export", folder)
        changed = write_bundle(configured.project / FOLDER, Path(folder))
    record_import(configured)
    if as_json:
        output.print_json({"changed": [f"{FOLDER}/{path}" for path in changed]})
        return
    for path in changed:
        typer.echo(f"{FOLDER}/{path}")
    typer.echo(f"{pluralize(len(changed), 'file')} changed" if changed else "nothing changed")


@app.command()
def check(
    models_only: Annotated[
        bool,
        typer.Option("--models-only", help="Compare with the models of the project only: needs no marts."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find charts whose mart is missing, stale, or lacks a column that they read; then the exit code is 1.

    The charts of bi/ are compared with what the models of the project publish, before a merge that would
    break them, and with the marts in Postgres. A mart is stale if it was not published since the last day
    that is due. What is missing in Postgres is also an alert, dashboard_broken.

    Examples: millpond bi check
              millpond bi check --models-only
    """
    from millpond.bi.columns import find_uses
    from millpond.cli import output
    from millpond.settings import settings

    configured = settings()
    uses = find_uses(_read_bundle(configured))
    problems = _find_problems(configured, uses, models_only=models_only)
    charts, marts = {use.file for use in uses if use.is_chart}, sorted({use.mart for use in uses})
    if as_json:
        found = [{**vars(problem), "text": str(problem)} for problem in problems]
        output.print_json({"charts": len(charts), "marts": marts, "problems": found})
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
        if not problems:
            read = pluralize(len(charts), "chart", "read")
            typer.echo(f"{read} {pluralize(len(marts), 'mart')}; all they read is there")
    if problems:
        raise typer.Exit(1)


def _find_problems(configured: Settings, uses: list[Use], *, models_only: bool) -> list[Problem]:
    from millpond.bi.check import find_missing, read_mart_columns, read_model_columns
    from millpond.transform.manifest import load_project

    models = read_model_columns(load_project(configured).document())
    problems = find_missing(uses, models, "models")
    if models_only:
        return problems
    known = {(problem.mart, problem.column) for problem in problems}
    there = find_missing(uses, read_mart_columns(), "marts")
    problems += [problem for problem in there if (problem.mart, problem.column) not in known]
    return problems + _find_stale(configured, uses)


def _find_stale(configured: Settings, uses: list[Use]) -> list[Problem]:
    import datetime as dt

    from millpond.bi.check import find_stale, read_due
    from millpond.definitions import defs
    from millpond.instance.home import open_instance
    from millpond.instance.record import read_latest
    from millpond.naming import MAIN_REF

    due = read_due(defs.resolve_all_asset_specs())
    with open_instance() as instance:
        latest = read_latest(instance, [f"marts/{name}" for name in due], MAIN_REF)
    made = {
        key.removeprefix("marts/"): last.replace(tzinfo=dt.UTC)
        for key, days in latest.items()
        if None in days and (last := days[None].at)
    }
    return find_stale(uses, made, due, dt.datetime.now(dt.UTC), configured.zone)


def _require_embedded() -> Settings:
    from millpond.errors import ConfigError
    from millpond.settings import settings

    configured = settings()
    if configured.scale:
        raise ConfigError(
            "with the profile scale, Superset is a container next to your servers, not a part of a home",
            next_step="docker compose --file docker/compose.yaml --profile bi up --detach superset",
        )
    return configured


def _read_bundle(configured: Settings) -> Bundle:
    from millpond.bi.bundle import FOLDER, read_bundle

    return read_bundle(configured.project / FOLDER)


def _import_if_changed(configured: Settings, report: Callable[[str], None]) -> None:
    """Import the bundle if a Superset that already ran has another one."""
    from millpond.bi.installation import hash_bundle, import_bundle, is_imported

    if hash_bundle(configured) and not is_imported(configured):
        report("importing the dashboards, whose files have changed")
        import_bundle(configured)


def _print_status(configured: Settings, process: Process | None, *, as_json: bool) -> None:
    from millpond.bi.installation import ADMINISTRATOR, is_imported, is_prepared, password_file
    from millpond.cli import output
    from millpond.runtime.superset import ENVIRONMENT

    address = f"http://127.0.0.1:{process.port}" if process else None
    dashboards = _read_bundle(configured).of("dashboards").values()
    slugs = [each.get("slug") or each["uuid"] for each in dashboards]
    pages = [f"{address}/superset/dashboard/{slug}/" for slug in slugs if address]
    found = {
        "state": "up" if process else "down",
        "address": address,
        "dashboards": pages,
        "user": ADMINISTRATOR,
        "password_file": str(password_file(configured)),
        "installed": ENVIRONMENT.find() is not None,
        "imported": is_imported(configured),
    }
    if as_json:
        output.print_json(found)
        return
    typer.echo(f"Superset: {address}" if address else "Superset is down; `millpond bi up` starts it")
    for each in pages:
        typer.echo(f"  {each}")
    if process:
        typer.echo(f"sign in as {ADMINISTRATOR} with the password in {found['password_file']}")
    if is_prepared(configured) and not found["imported"]:
        typer.echo("the files in bi/ differ from what was imported or exported last: `millpond bi import`")
