"""`millpond status`: which parts run, where and since when."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, Group

    from millpond.errors import MillpondError
    from millpond.runtime.part import Status

_NOT_RUNNING = {
    "embedded": "`millpond up` is not running; commands start the parts they need by themselves.",
    "scale": "`millpond up` is not running. Services in containers are no parts of it: `docker compose ps`.",
}
_COLOURS = {"up": "green", "starting": "yellow", "unhealthy": "bold red", "down": "red"}


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show each part of `millpond up`: its state, address, process, restarts and log.

    Exits with 0 if `millpond up` runs and every part works, else with 1; so
    `millpond status || millpond up --detach` starts what is missing. Starts nothing itself. Nothing waits
    for the dashboard, and for run-server and command-server, which make starts fast: they do not count.
    Also shows hosts to which requests are paused because they did not answer, since when automation is
    paused, whether MILLPOND_TIMEZONE is not the zone of this home's days, whether this home needs another
    release of Millpond, and why commands that are typed here are not forked from command-server.

    Example: millpond status --json
    """
    from millpond.cli import output
    from millpond.cli.automation_view import format_pause
    from millpond.cli.sources_view import describe_breakers, list_open_breakers
    from millpond.lake.home_zone import zone_error
    from millpond.runtime.deployment import changes
    from millpond.runtime.shared_parts import find_sources_without_address
    from millpond.runtime.status import read_status
    from millpond.runtime.warm_client import refusals
    from millpond.settings import settings, variable

    configured, now = settings(), read_status(settings())
    version = _version_error() if now.has("postgres") else None
    looks_into_state = now.has("postgres") and version is None
    changed = changes(configured) if now.supervisor else None
    left_alone = list_open_breakers() if looks_into_state else []
    paused = _read_pause_time() if looks_into_state else None
    zone = zone_error() if looks_into_state else None
    context = {name: str(getattr(configured, name)) for name in ("home", "profile", "ref")}
    if as_json:
        supervisor = now.supervisor and {
            "pid": now.supervisor.pid,
            "since": _format_iso(now.supervisor.started),
        }
        parts = [{**vars(part), "since": _format_iso(part.since)} for part in now.parts]
        answer: dict[str, object] = {**context, "up": now.is_up, "supervisor": supervisor, "parts": parts}
        answer["servers"] = [vars(server) for server in now.servers]
        answer["left_alone"] = [{"host": each.host, "reason": each.words} for each in left_alone]
        answer["deployment"] = changed and vars(changed)
        answer["not_forked"] = refusals[-1] if refusals else None
        answer["without_address"] = find_sources_without_address(configured)
        answer["automation_paused_since"] = _format_iso(paused)
        answer["timezone_refused"] = zone and zone.what
        answer["version_refused"] = version and version.what
        typer.echo(json.dumps(answer, indent=2))
    else:
        console = output.make_console()
        console.print(build_table(now.parts))
        for server in now.servers:
            state = "answers" if server.answers else "does not answer"
            style = "green" if server.answers else "bold red"
            line = f"{server.name} {state}: {server.address}, {server.note}"
            console.print(line, style=style, highlight=False, markup=False)
        for line in describe_breakers(left_alone):
            console.print(line, style="red", highlight=False, markup=False)
        if paused:
            console.print(format_pause(paused), style="yellow", highlight=False)
        if version:
            words = f"This home cannot be used: {version.what}. Next: {version.next_step}."
            console.print(words, style="bold red", highlight=False, markup=False)
        if zone:
            words = f"Nothing is loaded or built: {zone.what}. Next: {zone.next_step}."
            console.print(words, style="bold red", highlight=False, markup=False)
        console.print("  ".join(f"{name} {value}" for name, value in context.items()), highlight=False)
        if changed and changed.words:
            words = f"{changed.words}. `millpond reload` deploys it."
            console.print(words, style="yellow", highlight=False, markup=False)
        if changed and changed.words and changed.refused:
            words = f"The last reload was refused: {changed.refused}"
            console.print(words, style="red", highlight=False, markup=False)
        _print_refusals(console)
        for name in find_sources_without_address(configured):
            console.print(f"{name} is not loaded: {variable('url', name)} is not set.", highlight=False)
        if now.supervisor is None:
            console.print(_NOT_RUNNING[configured.profile], highlight=False)
    if version or not now.is_up:
        raise typer.Exit(1)


def _print_refusals(console: Console) -> None:
    """Print why this command, and others that are typed here, are not forked from command-server."""
    from millpond.runtime.warm_client import refusals

    for reason in refusals:
        line = f"Commands typed here load the code themselves: {reason}."
        console.print(line, style="yellow", highlight=False, markup=False)


def _version_error() -> MillpondError | None:
    """Return why this release cannot use the home, if so; migrates it as any command does."""
    from millpond.errors import HomeTooNew, HomeTooOld, MigrationFailed
    from millpond.runtime.databases import refuse_other_version

    try:
        refuse_other_version()
    except (HomeTooNew, HomeTooOld, MigrationFailed) as error:
        return error
    return None


def _read_pause_time() -> float | None:
    """Return since when automation is paused; does not load Dagster, which takes seconds."""
    import psycopg

    from millpond.naming import PAUSE_KEY
    from millpond.runtime.databases import databases

    with databases().dagster.connect() as connection:
        try:
            row = connection.execute(
                "select value::jsonb ->> 'since' from kvs where key = %s and value <> ''",
                (PAUSE_KEY,),
            ).fetchone()
        except psycopg.errors.UndefinedTable:  # Dagster has not created its tables yet
            return None
    return float(row[0]) if row else None


def build_table(parts: Sequence[Status]) -> Group:
    """Return the parts as a table, 80 columns wide, with notes on problems below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("part", "state", "address", "process", "since", "restarts"):
        table.add_column(column, no_wrap=True, justify="right" if column == "restarts" else "left")
    for part in parts:
        address = part.address or ""
        table.add_row(
            part.name,
            Text(part.state, style=_COLOURS[part.state]),
            "unix socket" if address.startswith("unix:") else Text(address),
            str(part.pid or ""),
            _format_time(part.since) if part.since else "",
            str(part.restarts),
        )
    notes = [Text(f"{part.name} {part.note}", style=_COLOURS[part.state]) for part in parts if part.note]
    return Group(table, *notes)


def _format_time(since: float) -> str:
    moment = dt.datetime.fromtimestamp(since).astimezone()
    today = moment.date() == dt.datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%d %b}"


def _format_iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")
