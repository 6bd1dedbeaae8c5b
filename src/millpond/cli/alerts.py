"""`millpond alerts`: what was found, who was notified, and how to try it out."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="What went wrong, who was notified, and when it was over.\n\n"
    "Alerts are kept in Postgres and sent while [bold]millpond up[/bold] runs, until each channel took them. "
    "alerts.yaml says who is notified of what, .env.example how to set up a channel, docs/runbook.md what "
    "to do.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the alert, as `list` shows it.")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that are over.")] = False,
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", help="Only this kind, for example run_failed.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List open alerts, the latest first: how often it happened, and the state of each channel's message.

    An alert is open until what it is about has succeeded again; everyone who was notified then hears of it.

    Example: millpond alerts list --all --kind run_failed
    """
    from millpond.alerts import commands
    from millpond.alerts.kinds import KINDS
    from millpond.cli import alerts_view, output

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"there is no kind {kind!r}; there are {', '.join(KINDS)}")
    found = commands.list_alerts(everything=everything, kind=kind, limit=limit)
    if as_json:
        output.as_json([alerts_view.as_dict(alert, told) for alert, told in found])
    else:
        alerts_view.print_list(found, commands.list_silences(), everything=everything)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show an alert: what happened and why, the page of its run, what to do, and each delivery.

    Example: millpond alerts show 17
    """
    from millpond.alerts import commands
    from millpond.cli import alerts_view, output

    alert, deliveries = commands.get_alert(number)
    if as_json:
        output.as_json({**alerts_view.as_dict(alert), "deliveries": deliveries})
    else:
        alerts_view.print_one(alert, deliveries)


@app.command("test")
def try_out(
    channel: Annotated[str, typer.Argument(help="Channel, for example slack.")],
    as_json: AsJson = False,
) -> None:
    """Send a test message through one channel now, past the outbox, and say how it went.

    Exits with 1 if the channel did not take it, naming what it answered.

    Example: millpond alerts test slack
    """
    from millpond.alerts.commands import send_test
    from millpond.cli import output

    title = send_test(channel)
    if as_json:
        output.as_json({"channel": channel, "sent": title})
    else:
        typer.echo(f"{channel} took it: {title}")


@app.command()
def resend(number: Number, as_json: AsJson = False) -> None:
    """Tell an alert again through each channel it was for, also where it had been given up.

    It goes out while `millpond up` runs.

    Example: millpond alerts resend 17
    """
    from millpond.alerts import commands
    from millpond.cli import output

    count = commands.resend(number)
    if as_json:
        output.as_json({"alert": number, "deliveries": count})
    else:
        typer.echo(f"alert {number} goes out again through {count} channel{'' if count == 1 else 's'}")


@app.command()
def close(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; shown by `list --all`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Close an open alert by hand: who did it, when and why is kept, and those who were notified hear of it.

    The same event does not open it again; a new failure opens a new alert. Closing it twice is fine.

    Example: millpond alerts close 17 --reason "the source is gone"
    """
    from millpond.alerts import commands
    from millpond.cli import alerts_view, output

    alert, was_open = commands.close(number, reason, alerts_view.person())
    if as_json:
        output.as_json({**alerts_view.as_dict(alert), "was_open": was_open})
    elif was_open:
        typer.echo(f"alert {number} is closed: {alert.title}")
    else:
        typer.echo(f"alert {number} was closed before: {alert.resolution}")


@app.command()
def silence(
    pattern: Annotated[
        str, typer.Argument(help="Kind, asset, owner or key of alerts; * and ? stand for anything.")
    ],
    duration: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    as_json: AsJson = False,
) -> None:
    """Hold back alerts for a while. They are kept and logged; what is still open afterwards is sent then.

    Example: millpond alerts silence "dlt_*" --for 2h
    """
    from millpond.alerts import commands
    from millpond.cli import output
    from millpond.cli.arguments import parse_span

    until, fitting = commands.silence(pattern, parse_span(duration))
    if as_json:
        output.as_json({"pattern": pattern, "until": until, "open": fitting})
    else:
        typer.echo(f"silent until {until.astimezone():%Y-%m-%d %H:%M}: {pattern}, now {fitting} open alerts")
