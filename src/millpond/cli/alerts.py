"""`millpond alerts`: what was found, who was notified, and how to try it out."""

from __future__ import annotations

from typing import Annotated

import typer

from millpond.naming import pluralize

app = typer.Typer(
    no_args_is_help=True,
    help="What went wrong, who was notified, and when it was resolved.\n\n"
    "Alerts are stored in Postgres and sent while [bold]millpond up[/bold] runs, until each channel accepts "
    "them. alerts.yaml says who is notified of what, .env.example how to set up a channel, docs/runbook.md "
    "what to do.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the alert, as `list` shows it.")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Include resolved alerts.")] = False,
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", help="Only this kind, for example run_failed.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="Number of alerts at most.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List open alerts, the latest first: how often each happened, and the state of each channel's message.

    An alert is open until its cause is resolved; then everyone who was notified gets a message.

    Example: millpond alerts list --all --kind run_failed
    """
    from millpond.alerts import commands
    from millpond.alerts.kinds import KINDS
    from millpond.alerts.outbox import list_alerts
    from millpond.cli import alerts_view, output

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"there is no kind {kind!r}; choose among {', '.join(KINDS)}")
    found = list_alerts(everything=everything, kind=kind, limit=limit)
    if as_json:
        output.print_json([alerts_view.as_dict(alert, states) for alert, states in found])
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
        output.print_json({**alerts_view.as_dict(alert), "deliveries": deliveries})
    else:
        alerts_view.print_one(alert, deliveries)


@app.command("test")
def try_out(
    channel: Annotated[str, typer.Argument(help="Channel, for example slack.")],
    as_json: AsJson = False,
) -> None:
    """Send a test message through one channel now, without the outbox, and print the result.

    Exits with 1 if the channel does not accept it, and prints its response.

    Example: millpond alerts test slack
    """
    from millpond.alerts.commands import send_test
    from millpond.cli import output

    title = send_test(channel)
    if as_json:
        output.print_json({"channel": channel, "sent": title})
    else:
        typer.echo(f"{channel} accepted it: {title}")


@app.command()
def resend(number: Number, as_json: AsJson = False) -> None:
    """Send an alert again through each of its channels, also where Millpond had given up.

    It is sent while `millpond up` runs.

    Example: millpond alerts resend 17
    """
    from millpond.alerts import commands
    from millpond.cli import output

    count = commands.resend(number)
    if as_json:
        output.print_json({"alert": number, "deliveries": count})
    else:
        typer.echo(f"alert {number} will be sent again through {pluralize(count, 'channel')}")


@app.command()
def close(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; shown by `list --all`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Close an open alert by hand: who closed it, when and why is recorded, and sent to those it notified.

    The same event does not open it again; a new failure opens a new alert. You may close it twice.

    Example: millpond alerts close 17 --reason "the source is gone"
    """
    from millpond.alerts import commands
    from millpond.cli import alerts_view, output

    alert, was_open = commands.close(number, reason, alerts_view.get_user_name())
    if as_json:
        output.print_json({**alerts_view.as_dict(alert), "was_open": was_open})
    elif was_open:
        typer.echo(f"alert {number} is closed: {alert.title}")
    else:
        typer.echo(f"alert {number} was already closed: {alert.resolution}")


@app.command()
def silence(
    pattern: Annotated[
        str, typer.Argument(help="Kind, asset, owner or key of alerts; * and ? are wildcards.")
    ],
    duration: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    as_json: AsJson = False,
) -> None:
    """Silence alerts for a while. They are recorded and logged; those still open afterwards are sent then.

    Example: millpond alerts silence "dlt_*" --for 2h
    """
    from millpond.alerts import commands
    from millpond.cli import output
    from millpond.cli.arguments import parse_span

    until, fitting = commands.silence(pattern, parse_span(duration))
    if as_json:
        output.print_json({"pattern": pattern, "until": until, "open": fitting})
    else:
        typer.echo(f"silent until {until.astimezone():%Y-%m-%d %H:%M}: {pattern}, now {fitting} open alerts")
