"""`millpond automation`: what runs by itself and when, turning it on and off, and a preview."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from millpond.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="What runs by itself while [bold]millpond up[/bold] runs, and when.\n\n"
    "The current day is loaded at the cadence of each source, and assets downstream follow in the same run; "
    "each morning yesterday is completed. sources/ sets the cadence, docs/automation.md explains it.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Name = Annotated[
    str | None,
    typer.Argument(help="Schedule or sensor, as `list` shows it; default: all that start runs."),
]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List schedules, sensors and the conditions of assets: on or paused, their last and next tick.

    Example: millpond automation list
    """
    from millpond.cli import output

    with _load() as (definitions, instance, settings):
        from millpond.automation.overview import list_automation
        from millpond.instance.pause import read_pause

        found, pause = list_automation(definitions, instance, settings), read_pause(instance)
    if as_json:
        output.print_json(found)
        return
    from millpond.cli.automation_view import print_list

    print_list(found, settings, pause.since if pause else None)


@app.command()
def pause(name: Name = None, as_json: AsJson = False) -> None:
    """Stop a schedule or sensor from starting runs, until it is resumed; without a name, all of them.

    Without a name the home is paused: no schedule or sensor starts runs, not even one that is added later,
    also after restarts and reloads. Their queued runs stay in the queue. Runs in progress continue, and so
    do runs that you launched: their number is printed. Sensors that only watch (alerts) stay on. Dagster's
    pages show and change the same switches.

    Example: millpond automation pause complete_yesterday
    """
    _switch(name, on=False, as_json=as_json)


@app.command()
def resume(name: Name = None, as_json: AsJson = False) -> None:
    """Let a schedule or sensor start runs again; without a name, all that were on before the pause.

    Queued runs start, and the sensor keep_up catches up on what became due.

    Example: millpond automation resume
    """
    _switch(name, on=True, as_json=as_json)


@app.command()
def preview(
    at: Annotated[
        str, typer.Option("--at", help="When: HH:MM (the next one), YYYY-MM-DDTHH:MM, or now.")
    ] = "now",
    as_json: AsJson = False,
) -> None:
    """Show what would run at a given time, in the configured zone, and why; starts nothing.

    Example: millpond automation preview --at 06:00
    """
    from millpond.cli import output
    from millpond.settings import settings

    moment = parse_moment(at, settings())
    with _load() as (definitions, instance, configured):
        from millpond.automation.preview import preview as preview_runs

        found = preview_runs(definitions, instance, configured, moment)
    if as_json:
        output.print_json({"at": moment.astimezone(configured.zone), "runs": found})
        return
    from millpond.cli.automation_view import print_preview

    print_preview(found, moment.astimezone(configured.zone))


def parse_moment(text: str, settings: Settings, now: dt.datetime | None = None) -> dt.datetime:
    """Return the minute that `text` names, in UTC: `now`, the next HH:MM, or a date with a time."""
    here = (now or dt.datetime.now(dt.UTC)).astimezone(settings.zone).replace(second=0, microsecond=0)
    if text == "now":
        return here.astimezone(dt.UTC)
    try:
        if "-" in text:
            moment = dt.datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=settings.zone)).astimezone(dt.UTC)
        wanted = here.replace(hour=(time := dt.time.fromisoformat(text)).hour, minute=time.minute)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time; give HH:MM or YYYY-MM-DDTHH:MM") from None
    return (wanted if wanted >= here else wanted + dt.timedelta(days=1)).astimezone(dt.UTC)


def _switch(name: str | None, *, on: bool, as_json: bool) -> None:
    from millpond.cli import output

    with _load() as (definitions, instance, settings):
        from millpond.automation.switches import count_unfinished_runs, switch

        changed, runs = (
            switch(definitions, instance, settings, name, on=on),
            count_unfinished_runs(instance),
        )
    if as_json:
        answer = {"changed": changed, "state": "on" if on else "paused"}
        output.print_json(answer if on else {**answer, **vars(runs)})
        return
    word = "on" if on else "paused"
    typer.echo(f"{word}: {', '.join(changed)}" if changed else f"nothing to do: already {word}")
    if not on and (runs.working or runs.queued):
        typer.echo(f"runs in progress continue: {runs.working} working, {runs.queued} queued")
    if not on and runs.held:
        typer.echo(f"automatic runs that stay in the queue until resume: {runs.held}")


def _use_deployed_project() -> None:
    """Use the deployed copy if `millpond up` runs; else the project, which it loads when it starts."""
    from millpond.runtime import deployment
    from millpond.runtime.down import SUPERVISOR
    from millpond.runtime.home import locate
    from millpond.runtime.processes import find_process
    from millpond.settings import settings, use_deployed

    deployed = deployment.current(settings())
    if deployed and find_process(locate(settings()), SUPERVISOR):
        use_deployed(deployment.folder_of(settings(), deployed))


@contextmanager
def _load() -> Iterator[tuple[Any, Any, Settings]]:
    """Yield definitions, instance and settings; importing the definitions takes seconds."""
    import importlib

    from millpond.cli.reload import print_notice
    from millpond.instance.files import output_to_terminal
    from millpond.instance.home import CODE_LOCATION, open_instance
    from millpond.settings import settings

    print_notice()
    _use_deployed_project()
    configured = settings()
    with output_to_terminal(), open_instance() as recorded:
        yield importlib.import_module(CODE_LOCATION).defs, recorded, configured
