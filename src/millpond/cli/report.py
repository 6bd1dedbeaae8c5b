"""`millpond report`: the report of a day as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    partition: Annotated[
        str | None,
        typer.Option("--partition", "-p", help="The day, YYYY-MM-DD; default: the latest complete day."),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: report-<day>.html in this folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON; write no page.")] = False,
) -> None:
    """Write the report of a day as one HTML page: marts, checks, quarantine, durations and alerts.

    The page asks no server for anything, so it can be mailed and kept. Values of columns that a dbt project
    declares as sensitive are hidden. `summary_report: true` in alerts.yaml attaches it to the daily summary.

    Examples: millpond report
              millpond report --partition 2026-11-01 --output report.html
    """
    import datetime as dt

    from millpond.cli import output
    from millpond.cli.arguments import parse_window
    from millpond.errors import ConfigError, PartitionKeyError
    from millpond.partitions import UNASKED, latest_complete_day
    from millpond.settings import settings

    configured = settings()
    window = parse_window(partition or str(latest_complete_day(configured.zone)))
    if len(window) > 1:
        raise PartitionKeyError(
            f"a report is of one day, and {window} has {len(window)}",
            unharmed=UNASKED,
            next_step=f"`millpond report --partition={window.last}`",
        )
    from millpond.definitions import defs
    from millpond.instance.home import open_instance
    from millpond.observability.assets import list_assets
    from millpond.observability.report import read_report
    from millpond.observability.report_page import render_report
    from millpond.publish.spec import read_marts
    from millpond.transform.manifest import load_project_or_last
    from millpond.transform.sensitive import find_sensitive_columns

    project = load_project_or_last(configured)
    sensitive = find_sensitive_columns(project)
    marts = read_marts(project.document())[0] if project else []
    with open_instance() as instance:
        found = read_report(
            instance,
            list_assets(defs, sensitive),
            marts,
            sensitive,
            window.start,
            dt.datetime.now(dt.UTC),
            configured.zone,
        )
    if as_json:
        output.print_json(found)
        return
    file = output_file or Path(f"report-{window}.html")
    try:
        file.write_text(render_report(found, configured), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}",
            unharmed="everything; only the page is missing",
            next_step="give another file: `millpond report --output=FILE`",
        ) from None
    typer.echo(f"{found.verdict}\n{file}")
